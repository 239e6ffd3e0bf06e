//! A deterministic world in which the shipped code is tested: disk, network, workload, invariants.
