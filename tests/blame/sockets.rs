//! The same kinds of trouble on the built proxy.
