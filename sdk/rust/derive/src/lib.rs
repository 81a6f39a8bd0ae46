//! derive(Row).
