//! Reports on disk: write, index, find, delete.
