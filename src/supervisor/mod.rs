//! The front: tracers kept alive, incidents handed to recorders.
