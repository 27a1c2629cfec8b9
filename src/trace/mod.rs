//! Keeps every thread of one service attached; yields faults, obeys verdicts.
