// A library in C++ that faults below a function with a destructor.
#pragma once

// Reads the header of a message of that length: through a null pointer.
int measure(long length);

// How many witnesses are alive: each call of measure has one.
int witnesses();
