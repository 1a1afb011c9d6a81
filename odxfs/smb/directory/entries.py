"""From an inode to the entry of QUERY_DIRECTORY that shows it."""

from odxfs.smb.directory.enumeration import Listed
from odxfs.smb.information.attributes import (
    allocation_size,
    end_of_file,
    file_attributes,
    reparse_tag,
    times_of,
)
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.fscc.directory_information import DirectoryInformation, pack_entry


def pack_listed(information_class: int, listed: Listed) -> bytes:
    """One entry of the class, its next offset still 0. EaSize is the reparse tag of what has one, else 0: to know the size
    of the EAs would cost a read for every file of the listing.
    """
    inode, times = listed.inode, times_of(listed.inode)
    tag = reparse_tag(inode)
    return pack_entry(
        information_class,
        DirectoryInformation(
            file_name=listed.name,
            file_attributes=file_attributes(inode),
            creation_time=times.creation,
            last_access_time=times.last_access,
            last_write_time=times.last_write,
            change_time=times.change,
            end_of_file=end_of_file(inode),
            allocation_size=allocation_size(inode),
            file_id=inode.number,
            ea_size=0 if information_class == FileInformationClass.ID_EXTD_DIRECTORY else tag,
            reparse_point_tag=tag,
        ),
    )
