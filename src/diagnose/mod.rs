//! Pure: a Capture in, a Diagnosis out.
