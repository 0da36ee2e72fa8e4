//! How many failures get through.
