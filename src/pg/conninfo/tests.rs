//! libpq's rules, one by one.
