//! End-to-end tests: the real program, on real programs.
