// A C library: it is handed a header, and reads it.
int read_header(const volatile int *header)
{
    return *header;
}
