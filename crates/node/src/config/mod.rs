//! The configuration of a node: defaults, YAML, validation.
