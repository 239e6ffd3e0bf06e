//! Names of services.

use std::fmt;

use bytes::Bytes;

/// Most bytes of the name of a service.
pub const SERVICE_NAME_BYTES_MAX: usize = 255;

/// The name of a service: 1 to 255 bytes, none of them a control character of ASCII. The RFCs ask for a printable
/// string and name no encoding; what is not UTF-8 is a name too.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Bytes);

/// Why bytes are not the name of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServiceNameError {
    /// There are none, or too many.
    #[error("the name of a service has {0} bytes, not 1 to {SERVICE_NAME_BYTES_MAX}")]
    Length(usize),
    /// There is one that cannot be printed.
    #[error("the name of a service holds the control character {0:#04x}")]
    Control(u8),
}

impl ServiceName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`ServiceNameError`] says what is wrong with it.
    pub fn new(name: impl Into<Bytes>) -> Result<Self, ServiceNameError> {
        let name = name.into();
        if !(1..=SERVICE_NAME_BYTES_MAX).contains(&name.len()) {
            return Err(ServiceNameError::Length(name.len()));
        }
        match name.iter().find(|byte| byte.is_ascii_control()) {
            Some(byte) => Err(ServiceNameError::Control(*byte)),
            None => Ok(Self(name)),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its frame.
    #[must_use]
    pub fn frame(&self) -> Bytes {
        self.0.clone()
    }

    /// The same name in memory of its own. One that was read shares the memory of what it was read from.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}
