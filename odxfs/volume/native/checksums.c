/* The crc32c of many blocks in one call.
 *
 * Libraries give one crc32c a call, and from Python the call of a block of 4 KiB takes longer than its checksum. Here four
 * blocks at a time go through the processor's own instruction, which begins one step every cycle and ends it after three.
 * Where the processor has none, the module cannot be imported, and its caller does without.
 */

#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#ifdef __x86_64__
#include <nmmintrin.h>

#define LANES 4

static inline uint64_t word_at(const unsigned char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* Checksums of LANES blocks that lie one behind the other. */
__attribute__((target("sse4.2"))) static void
lanes(const unsigned char *data, size_t block_bytes, uint32_t *crcs)
{
    const unsigned char *second = data + block_bytes, *third = second + block_bytes, *fourth = third + block_bytes;
    uint64_t a = UINT32_MAX, b = UINT32_MAX, c = UINT32_MAX, d = UINT32_MAX;
    for (size_t at = 0; at < block_bytes; at += sizeof(uint64_t)) {
        a = _mm_crc32_u64(a, word_at(data + at));
        b = _mm_crc32_u64(b, word_at(second + at));
        c = _mm_crc32_u64(c, word_at(third + at));
        d = _mm_crc32_u64(d, word_at(fourth + at));
    }
    crcs[0] = ~(uint32_t)a;
    crcs[1] = ~(uint32_t)b;
    crcs[2] = ~(uint32_t)c;
    crcs[3] = ~(uint32_t)d;
}

__attribute__((target("sse4.2"))) static uint32_t
lane(const unsigned char *data, size_t block_bytes)
{
    uint64_t crc = UINT32_MAX;
    for (size_t at = 0; at < block_bytes; at += sizeof(uint64_t))
        crc = _mm_crc32_u64(crc, word_at(data + at));
    return ~(uint32_t)crc;
}

static void fill(const unsigned char *data, size_t blocks, size_t block_bytes, uint32_t *crcs)
{
    size_t block = 0;
    for (; block + LANES <= blocks; block += LANES)
        lanes(data + block * block_bytes, block_bytes, crcs + block);
    for (; block < blocks; block++)
        crcs[block] = lane(data + block * block_bytes, block_bytes);
}

static int is_supported(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#else
static void fill(const unsigned char *data, size_t blocks, size_t block_bytes, uint32_t *crcs)
{
    (void)data, (void)blocks, (void)block_bytes, (void)crcs;
}

static int is_supported(void)
{
    return 0;
}
#endif

static PyObject *crc32c_of_blocks(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer buffer;
    Py_ssize_t block_bytes;
    PyObject *crcs = NULL;
    if (!PyArg_ParseTuple(arguments, "y*n:crc32c_of_blocks", &buffer, &block_bytes))
        return NULL;
    if (block_bytes <= 0 || block_bytes % sizeof(uint64_t) || buffer.len % block_bytes)
        PyErr_SetString(PyExc_ValueError, "whole blocks of a multiple of 8 bytes are wanted");
    else
        crcs = PyBytes_FromStringAndSize(NULL, buffer.len / block_bytes * sizeof(uint32_t));
    if (crcs != NULL)
        fill(buffer.buf, buffer.len / block_bytes, block_bytes, (uint32_t *)PyBytes_AsString(crcs));
    PyBuffer_Release(&buffer);
    return crcs;
}

static PyMethodDef functions[] = {
    {"crc32c_of_blocks", crc32c_of_blocks, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_checksums",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__checksums(void)
{
    if (!is_supported()) {
        PyErr_SetString(PyExc_ImportError, "this processor has no instruction for crc32c");
        return NULL;
    }
    return PyModule_Create(&definition);
}
