//! Who a peer is and what it may do: TLS, API keys, certificates.
