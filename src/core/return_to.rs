//! Where a login lands: a path on the app's own origin, or `/`.
