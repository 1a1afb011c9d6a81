/* The operations copy_file_range, fallocate, lseek, getlk, setlk and flock for a mount by an unmodified pyfuse3, which has
 * none of them; and what it does not hand on of flush and write.
 *
 * pyfuse3 hands libfuse its table of operations in fuse_session_new(). This module defines a function of that name, and of
 * those that libfuse's header has made of it since 3.17 (_fuse_session_new, _fuse_session_new_317,
 * fuse_session_new_versioned: one more argument, libfuse's issue 1196 shows them). Loaded with RTLD_GLOBAL before pyfuse3,
 * it is what pyfuse3 calls: it fills the empty entries of a copy of the table and goes on to libfuse's own. It is not
 * linked with libfuse but asks for the functions of the one that its caller has, which need not be of the version of the
 * headers it was compiled with.
 * Whether that happened is told by is_filled(); where it did not, the mount works without.
 *
 * The handlers run inside fuse_session_process_buf(), where pyfuse3 holds the GIL. They call a Python object with a Request,
 * which is answered at any later time. A Request sends one answer and no second; one that is dropped answers EIO.
 */

#define _GNU_SOURCE /* dladdr, dlvsym */
#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define FUSE_USE_VERSION 35
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

static PyObject *handlers;     /* what arm() was given, or NULL */
static PyObject *request_type; /* lives as long as the process */
static int filled;             /* a session since arm() has our entries */

/* The functions of the libfuse that has the session. */
static int (*send_error)(fuse_req_t, int);
static int (*send_count)(fuse_req_t, size_t);
static int (*send_offset)(fuse_req_t, off_t);
static int (*send_lock)(fuse_req_t, const struct flock *);
static void (*set_interrupt)(fuse_req_t, fuse_interrupt_func_t, void *);

/* pyfuse3's own, which do not tell whose descriptor is closed, and which writes are appends. */
static void (*flush_further)(fuse_req_t, fuse_ino_t, struct fuse_file_info *);
static void (*write_further)(fuse_req_t, fuse_ino_t, const char *, size_t, off_t, struct fuse_file_info *);
static void (*write_buf_further)(fuse_req_t, fuse_ino_t, struct fuse_bufvec *, off_t, struct fuse_file_info *);

/* Of the write request that pyfuse3 was handed last and nobody has asked about: 1 for an append, 0 for another, else -1. */
static int append_noted = -1;

/* ---- requests -------------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    fuse_req_t req;        /* NULL once answered: libfuse has freed it */
    PyObject *interrupted; /* called when the kernel wants it no longer, or NULL */
} Request;

static PyObject *request_new(fuse_req_t req)
{
    Request *request = PyObject_New(Request, (PyTypeObject *)request_type);
    if (request != NULL) {
        request->req = req;
        request->interrupted = NULL;
    }
    return (PyObject *)request;
}

static void request_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Request *request = (Request *)self;
    if (request->req != NULL)
        send_error(request->req, EIO);
    Py_XDECREF(request->interrupted);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* The request, to be answered now; NULL with an exception when it has been. */
static fuse_req_t request_take(PyObject *self)
{
    Request *request = (Request *)self;
    fuse_req_t req = request->req;
    if (req == NULL)
        PyErr_SetString(PyExc_RuntimeError, "the request was answered already");
    request->req = NULL;
    return req;
}

static PyObject *sent(int result)
{
    if (result == 0)
        Py_RETURN_NONE;
    errno = -result;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *reply_error(PyObject *self, PyObject *argument)
{
    long number = PyLong_AsLong(argument);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    fuse_req_t req = request_take(self);
    return req == NULL ? NULL : sent(send_error(req, (int)number));
}

static PyObject *reply_count(PyObject *self, PyObject *argument)
{
    size_t count = PyLong_AsSize_t(argument);
    if (count == (size_t)-1 && PyErr_Occurred())
        return NULL;
    fuse_req_t req = request_take(self);
    return req == NULL ? NULL : sent(send_count(req, count));
}

static PyObject *reply_offset(PyObject *self, PyObject *argument)
{
    long long offset = PyLong_AsLongLong(argument);
    if (offset == -1 && PyErr_Occurred())
        return NULL;
    fuse_req_t req = request_take(self);
    return req == NULL ? NULL : sent(send_offset(req, (off_t)offset));
}

static PyObject *reply_lock(PyObject *self, PyObject *arguments)
{
    long long offset, length;
    int type, pid;
    if (!PyArg_ParseTuple(arguments, "iLLi", &type, &offset, &length, &pid))
        return NULL;
    struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = offset, .l_len = length, .l_pid = pid};
    fuse_req_t req = request_take(self);
    return req == NULL ? NULL : sent(send_lock(req, &lock));
}

/* Called by libfuse while it reads FUSE_INTERRUPT, or at once when that came first. It has the request locked, so that
 * nothing but the Python object may be touched here. Answered requests are not interrupted, so `data` is alive. */
static void on_interrupt(fuse_req_t req, void *data)
{
    (void)req;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *interrupted = Py_XNewRef(((Request *)data)->interrupted);
    PyObject *result = interrupted == NULL ? NULL : PyObject_CallNoArgs(interrupted);
    if (result == NULL && interrupted != NULL)
        PyErr_WriteUnraisable(interrupted);
    Py_XDECREF(result);
    Py_XDECREF(interrupted);
    PyGILState_Release(state);
}

static PyObject *when_interrupted(PyObject *self, PyObject *callback)
{
    Request *request = (Request *)self;
    if (request->req == NULL || request->interrupted != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the request was answered, or has its callback");
        return NULL;
    }
    request->interrupted = Py_NewRef(callback);
    set_interrupt(request->req, on_interrupt, request);
    Py_RETURN_NONE;
}

static PyMethodDef request_methods[] = {
    {"reply_error", reply_error, METH_O, "Answer with an errno; 0 is success."},
    {"reply_count", reply_count, METH_O, "Answer copy_file_range with the bytes copied."},
    {"reply_offset", reply_offset, METH_O, "Answer lseek with the offset found."},
    {"reply_lock", reply_lock, METH_VARARGS, "Answer getlk with l_type, l_start, l_len and l_pid."},
    {"when_interrupted", when_interrupted, METH_O, "Call once when the kernel wants the request no longer."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_methods, request_methods},
    {Py_tp_doc, "A request of the kernel that waits for its one answer."},
    {0, NULL},
};

static PyType_Spec request_spec = {
    .name = "odxfs_mount._extension.Request",
    .basicsize = sizeof(Request),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = request_slots,
};

/* ---- the handlers ----------------------------------------------------------------------------------------------- */

/* Call a method of the handlers; steals `request`, and `arguments`, which may be NULL with an exception set. When Python
 * fails, whether it made a task of the request or not, EIO is answered here. */
static void call(const char *name, PyObject *request, PyObject *arguments)
{
    PyObject *result = NULL, *method = NULL;
    if (arguments != NULL)
        method = PyObject_GetAttrString(handlers, name);
    if (method != NULL)
        result = PyObject_CallObject(method, arguments);
    if (result == NULL) {
        fuse_req_t req = ((Request *)request)->req;
        ((Request *)request)->req = NULL;
        if (req != NULL)
            send_error(req, EIO); /* now: the traceback may keep the request alive for ever */
        PyErr_WriteUnraisable(handlers);
    }
    Py_XDECREF(result);
    Py_XDECREF(method);
    Py_XDECREF(arguments);
    Py_DECREF(request);
}

/* NULL when there is nobody to hand it to, and the kernel has been told so. */
static PyObject *received(fuse_req_t req)
{
    PyObject *request = handlers == NULL ? NULL : request_new(req);
    if (request == NULL) {
        send_error(req, handlers == NULL ? ENOSYS : ENOMEM);
        PyErr_Clear();
    }
    return request;
}

static void on_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
                               fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags)
{
    (void)ino_in, (void)ino_out; /* the open files say which inodes they are of */
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *request = received(req);
    if (request != NULL)
        call("copy_file_range", request,
             Py_BuildValue("(OKLKLKi)", request, (unsigned long long)fi_in->fh, (long long)off_in,
                           (unsigned long long)fi_out->fh, (long long)off_out, (unsigned long long)len, flags));
    PyGILState_Release(state);
}

static void on_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi)
{
    (void)ino;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *request = received(req);
    if (request != NULL)
        call("fallocate", request,
             Py_BuildValue("(OKiLL)", request, (unsigned long long)fi->fh, mode, (long long)offset, (long long)length));
    PyGILState_Release(state);
}

static void on_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    (void)ino;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *request = received(req);
    if (request != NULL)
        call("lseek", request, Py_BuildValue("(OKLi)", request, (unsigned long long)fi->fh, (long long)off, whence));
    PyGILState_Release(state);
}

/* lock is as fcntl(2) has it, from the beginning of the file; l_len 0 is "to the end". */
static void call_with_lock(const char *name, fuse_req_t req, struct fuse_file_info *fi, struct flock *lock, int sleep)
{
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *request = received(req);
    if (request != NULL)
        call(name, request,
             Py_BuildValue("(OKKiLLii)", request, (unsigned long long)fi->fh, (unsigned long long)fi->lock_owner,
                           (int)lock->l_type, (long long)lock->l_start, (long long)lock->l_len, (int)lock->l_pid, sleep));
    PyGILState_Release(state);
}

static void on_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock)
{
    (void)ino;
    call_with_lock("getlk", req, fi, lock, 0);
}

static void on_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock, int sleep)
{
    (void)ino;
    call_with_lock("setlk", req, fi, lock, sleep);
}

static void on_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int operation)
{
    (void)ino;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *request = received(req);
    if (request != NULL)
        call("flock", request, Py_BuildValue("(OKi)", request, (unsigned long long)fi->fh, operation));
    PyGILState_Release(state);
}

/* The kernel has no other way to say that a process has closed a descriptor and lost its POSIX locks with it
 * (fs/fuse/file.c: fuse_setlk). Nothing else is to be done: writes are in the volume when they are answered. So it is
 * answered here, which spares every close(2) a coroutine of pyfuse3's. */
static void on_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    PyGILState_STATE state = PyGILState_Ensure();
    if (handlers == NULL) {
        flush_further(req, ino, fi);
    } else {
        PyObject *result = PyObject_CallMethod(handlers, "closed", "KK", (unsigned long long)fi->fh,
                                               (unsigned long long)fi->lock_owner);
        if (result == NULL)
            PyErr_WriteUnraisable(handlers);
        send_error(req, result == NULL ? EIO : 0);
        Py_XDECREF(result);
    }
    PyGILState_Release(state);
}

/* The flags are those of the open file at the time (fs/fuse/file.c: fuse_write_flags), which fcntl(2) may have changed since
 * open(2). What mappings have changed comes through any open for writing, whatever its flags. */
static void note_write(const struct fuse_file_info *fi)
{
    append_noted = (fi->flags & O_APPEND) != 0 && !fi->writepage;
}

static void on_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off, struct fuse_file_info *fi)
{
    note_write(fi);
    write_further(req, ino, data, size, off, fi);
}

static void on_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *data, off_t off, struct fuse_file_info *fi)
{
    note_write(fi);
    write_buf_further(req, ino, data, off, fi);
}

/* ---- standing in for fuse_session_new ---------------------------------------------------------------------------- */

/* The library that calls us, to look for functions in what it is linked with; it stays loaded anyway. */
static void *library_of(const void *address)
{
    Dl_info info;
    return dladdr(address, &info) ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
}

static int can_answer(void *library)
{
    send_error = (int (*)(fuse_req_t, int))dlsym(library, "fuse_reply_err");
    send_count = (int (*)(fuse_req_t, size_t))dlsym(library, "fuse_reply_write");
    send_offset = (int (*)(fuse_req_t, off_t))dlsym(library, "fuse_reply_lseek");
    send_lock = (int (*)(fuse_req_t, const struct flock *))dlsym(library, "fuse_reply_lock");
    set_interrupt = (void (*)(fuse_req_t, fuse_interrupt_func_t, void *))dlsym(library, "fuse_req_interrupt_func");
    return send_error != NULL && send_count != NULL && send_offset != NULL && send_lock != NULL && set_interrupt != NULL;
}

/* Locks are all ours or not at all: only for handlers that keep locks, and where we are told of close(2). */
static void fill_locks(struct fuse_lowlevel_ops *ours)
{
    PyGILState_STATE state = PyGILState_Ensure();
    int keeps_locks = PyObject_HasAttrString(handlers, "setlk");
    PyGILState_Release(state);
    if (!keeps_locks)
        return;
    if (ours->getlk != NULL || ours->setlk != NULL || ours->flock != NULL || ours->flush == NULL)
        return;
    ours->getlk = on_getlk;
    ours->setlk = on_setlk;
    ours->flock = on_flock;
    flush_further = ours->flush;
    ours->flush = on_flush;
}

/* pyfuse3's own go on; ours only look at what passes. */
static void watch_writes(struct fuse_lowlevel_ops *ours)
{
    append_noted = -1;
    write_further = ours->write;
    if (write_further != NULL)
        ours->write = on_write;
    write_buf_further = ours->write_buf;
    if (write_buf_further != NULL)
        ours->write_buf = on_write_buf;
}

/* A copy of the caller's table with our entries in it, to be freed; NULL when there is nothing to add or no memory.
 * The caller may know a longer table than this file was compiled with, or a shorter one: `size` is what counts. */
static struct fuse_lowlevel_ops *completed(void *library, const struct fuse_lowlevel_ops *table, size_t size)
{
    if (handlers == NULL || size < offsetof(struct fuse_lowlevel_ops, lseek) + sizeof table->lseek || !can_answer(library))
        return NULL;
    struct fuse_lowlevel_ops *ours = malloc(size);
    if (ours == NULL)
        return NULL;
    memcpy(ours, table, size);
    /* A pyfuse3 that has learnt an operation keeps it. */
    if (ours->copy_file_range == NULL)
        ours->copy_file_range = on_copy_file_range;
    if (ours->fallocate == NULL)
        ours->fallocate = on_fallocate;
    if (ours->lseek == NULL)
        ours->lseek = on_lseek;
    fill_locks(ours);
    watch_writes(ours);
    filled = 1;
    return ours;
}

typedef struct fuse_session *(*session_new)(struct fuse_args *, const struct fuse_lowlevel_ops *, size_t, void *);
typedef struct fuse_session *(*session_new_versioned)(struct fuse_args *, const struct fuse_lowlevel_ops *, size_t, void *,
                                                      void *);

static struct fuse_session *pass_on(const void *caller, const char *name, struct fuse_args *args,
                                    const struct fuse_lowlevel_ops *op, size_t op_size, void *version, void *userdata)
{
    void *library = library_of(caller);
    session_new_versioned next = library == NULL ? NULL : (session_new_versioned)dlsym(library, name);
    if (next == NULL)
        return NULL;
    struct fuse_lowlevel_ops *ours = completed(library, op, op_size);
    struct fuse_session *session = next(args, ours != NULL ? ours : op, op_size, version, userdata);
    free(ours); /* libfuse keeps a copy of its own */
    return session;
}

/* The names are set by __asm__, since in the headers from 3.17 on some are macros or inline functions. */

__attribute__((visibility("default"))) struct fuse_session *
odxfs_session_new(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t op_size,
                  void *userdata) __asm__("fuse_session_new");
__attribute__((visibility("default"))) struct fuse_session *
odxfs_session_new_a(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t op_size, void *version,
                    void *userdata) __asm__("_fuse_session_new");
__attribute__((visibility("default"))) struct fuse_session *
odxfs_session_new_b(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t op_size, void *version,
                    void *userdata) __asm__("_fuse_session_new_317");
__attribute__((visibility("default"))) struct fuse_session *
odxfs_session_new_c(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t op_size, void *version,
                    void *userdata) __asm__("fuse_session_new_versioned");

/* Up to 3.16 this is the default version of the symbol; from 3.17 on it is there for old binaries only, which dlsym(3)
 * does not see. */
struct fuse_session *odxfs_session_new(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t op_size,
                                       void *userdata)
{
    void *library = library_of(__builtin_return_address(0));
    if (library == NULL)
        return NULL;
    session_new next = (session_new)dlvsym(library, "fuse_session_new", "FUSE_3.0");
    if (next == NULL)
        next = (session_new)dlsym(library, "fuse_session_new");
    if (next == NULL)
        return NULL;
    struct fuse_lowlevel_ops *ours = completed(library, op, op_size);
    struct fuse_session *session = next(args, ours != NULL ? ours : op, op_size, userdata);
    free(ours);
    return session;
}

struct fuse_session *odxfs_session_new_a(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t op_size,
                                         void *version, void *userdata)
{
    return pass_on(__builtin_return_address(0), "_fuse_session_new", args, op, op_size, version, userdata);
}

struct fuse_session *odxfs_session_new_b(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t op_size,
                                         void *version, void *userdata)
{
    return pass_on(__builtin_return_address(0), "_fuse_session_new_317", args, op, op_size, version, userdata);
}

struct fuse_session *odxfs_session_new_c(struct fuse_args *args, const struct fuse_lowlevel_ops *op, size_t op_size,
                                         void *version, void *userdata)
{
    return pass_on(__builtin_return_address(0), "fuse_session_new_versioned", args, op, op_size, version, userdata);
}

/* ---- the module ------------------------------------------------------------------------------------------------- */

static PyObject *arm(PyObject *module, PyObject *object)
{
    (void)module;
    Py_XDECREF(handlers);
    handlers = Py_NewRef(object);
    filled = 0;
    Py_RETURN_NONE;
}

static PyObject *disarm(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    Py_CLEAR(handlers);
    Py_RETURN_NONE;
}

static PyObject *is_filled(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    return PyBool_FromLong(filled);
}

static PyObject *is_append(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    int noted = append_noted;
    append_noted = -1;
    if (noted < 0)
        Py_RETURN_NONE;
    return PyBool_FromLong(noted);
}

static PyMethodDef methods[] = {
    {"arm", arm, METH_O, "Sessions made from now on hand the operations to this object's methods of their names."},
    {"disarm", disarm, METH_NOARGS, "Let go of the object that arm() was given."},
    {"is_filled", is_filled, METH_NOARGS, "Whether a session was made since arm() that has the operations."},
    {"is_append", is_append, METH_NOARGS,
     "Whether the write request that came last is an append; None when it is not known, or was asked before."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "odxfs_mount._extension",
    .m_doc = "copy_file_range, fallocate, lseek and locks for pyfuse3; see extension.c.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__extension(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    request_type = PyType_FromSpec(&request_spec);
    if (request_type == NULL || PyModule_AddObjectRef(module, "Request", request_type) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
