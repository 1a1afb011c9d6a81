# The guest's part: for each dialect and protection one mount, and what programs do there. A line "CELL dialect protection result".
stty -echo
dd if=/dev/urandom of=/tmp/original bs=64k count=48 2>/dev/null
connect() { mount -t cifs -o "$1" //10.0.2.2/data /mnt; }
use() {
    cp /tmp/original /mnt/a && cmp /tmp/original /mnt/a || { echo "write and read"; return; }
    mv /mnt/a /mnt/b && [ "$(ls /mnt | grep -c '^b$')" = 1 ] || { echo "rename and list"; return; }
    cp /mnt/b /mnt/c && umount /mnt && connect "$1" && cmp /tmp/original /mnt/c || { echo "copy and mount again"; return; }
    fallocate -l 8388608 /mnt/f && [ "$(stat -c %s /mnt/f)" = 8388608 ] || { echo "fallocate"; return; }
    ln -s b /mnt/l && [ "$(readlink /mnt/l)" = b ] || { echo "symbolic link"; return; }
    rm /mnt/b /mnt/c /mnt/f /mnt/l && [ -z "$(ls /mnt | grep '^[bcfl]$')" ] || { echo "delete"; return; }
    (cd /mnt && python3 -S /guest_use.py "$2")
    rm /mnt/* || echo "delete at the end"
}
for dialect in 2.1 3.0 3.0.2 3.1.1; do
    for protection in plain signed encrypted; do
        options="username=alice,password=secret,vers=$dialect,port=PORT,ip=10.0.2.2,noperm,mfsymlinks"
        case $protection in
            signed) options="$options,sec=ntlmsspi" ;;
            encrypted) [ $dialect = 2.1 ] && continue; options="$options,seal" ;;
        esac
        if connect "$options"; then use "$options" $dialect > /tmp/result; umount /mnt; else echo mount > /tmp/result; fi
        echo "CELL $dialect $protection $(tr '\n' ' ' < /tmp/result)"
        read answer
    done
done
