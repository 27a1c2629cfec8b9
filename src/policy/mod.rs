//! Pure: a fault and the rules in, an action out, with the reason in words.
