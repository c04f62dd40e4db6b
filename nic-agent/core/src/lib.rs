//! Pure agent logic: accept, lower, reconcile.
