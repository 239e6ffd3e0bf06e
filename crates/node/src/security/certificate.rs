//! What we read of a certificate: whose it is, and when it is valid.
//!
//! The TLS library verifies certificates and tells neither. Of X.509 (RFC 5280) only the way to these
//! fields is read; everything is length-checked, and what is not understood is an error, not a guess.

use rustls::pki_types::CertificateDer;

/// What could not be read in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate's {field} cannot be read")]
pub struct CertificateParseError {
    field: &'static str,
}

/// Whose a certificate is, and when it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSummary {
    /// The subject's common name.
    pub common_name: Option<String>,
    /// The DNS names among the subject's alternative names.
    pub dns_names: Vec<String>,
    /// The first second it is valid, since 1970.
    pub not_before: i64,
    /// The last second it is valid, since 1970.
    pub not_after: i64,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
/// 2.5.4.3, id-at-commonName.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17, id-ce-subjectAltName.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// Names longer than this are no users.
const NAME_BYTES_MAX: usize = 200;

impl CertificateSummary {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`CertificateParseError`] where it is not built as RFC 5280 says.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, CertificateParseError> {
        let mut outer = Der(certificate.as_ref());
        let mut certificate = outer.take(SEQUENCE, "outer sequence")?;
        let mut body = certificate.take(SEQUENCE, "body")?;
        if body.tag() == Some(VERSION) {
            body.any("version")?;
        }
        for field in ["serial number", "signature algorithm", "issuer"] {
            body.any(field)?;
        }
        let mut validity = body.take(SEQUENCE, "validity")?;
        let not_before = validity.time()?;
        let not_after = validity.time()?;
        let common_name = common_name(body.take(SEQUENCE, "subject")?)?;
        body.any("public key")?;
        let mut dns_names = Vec::new();
        while !body.0.is_empty() {
            let (tag, mut content) = body.any("extensions")?;
            if tag == EXTENSIONS {
                dns_names = alternative_names(content.take(SEQUENCE, "extensions")?)?;
            }
        }
        Ok(Self { common_name, dns_names, not_before, not_after })
    }

    /// The name of the user whose certificate it is: the common name, or the only DNS name.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        let only = match self.dns_names.as_slice() {
            [only] => Some(only.as_str()),
            _ => None,
        };
        self.common_name.as_deref().or(only).filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX)
    }
}

fn common_name(mut subject: Der<'_>) -> Result<Option<String>, CertificateParseError> {
    let mut found = None;
    while !subject.0.is_empty() {
        let mut set = subject.take(SET, "subject")?;
        while !set.0.is_empty() {
            let mut attribute = set.take(SEQUENCE, "subject")?;
            let kind = attribute.take(OID, "subject")?;
            let (_, value) = attribute.any("subject")?;
            if kind.0 == COMMON_NAME {
                // The last is the most specific one.
                found = Some(text(value, "common name")?);
            }
        }
    }
    Ok(found)
}

fn alternative_names(mut extensions: Der<'_>) -> Result<Vec<String>, CertificateParseError> {
    let field = "alternative names";
    let mut names = Vec::new();
    while !extensions.0.is_empty() {
        let mut extension = extensions.take(SEQUENCE, "extensions")?;
        let kind = extension.take(OID, "extensions")?;
        if extension.tag() == Some(BOOLEAN) {
            extension.any("extensions")?;
        }
        let mut value = extension.take(OCTETS, "extensions")?;
        if kind.0 == ALTERNATIVE_NAMES {
            let mut list = value.take(SEQUENCE, field)?;
            while !list.0.is_empty() {
                let (tag, name) = list.any(field)?;
                if tag == DNS_NAME {
                    names.push(text(name, field)?);
                }
            }
        }
    }
    Ok(names)
}

/// A name in UTF-8 or a subset of it. The old encodings of two and four bytes a character are refused,
/// and so is whatever would not stand in one line of a log.
fn text(value: Der<'_>, field: &'static str) -> Result<String, CertificateParseError> {
    let text = std::str::from_utf8(value.0).map_err(|_| CertificateParseError { field })?;
    if text.chars().any(char::is_control) {
        return Err(CertificateParseError { field });
    }
    Ok(text.to_owned())
}

/// What is left of some DER: values, each a tag, a length, and so many bytes.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn any(&mut self, field: &'static str) -> Result<(u8, Self), CertificateParseError> {
        self.split().ok_or(CertificateParseError { field })
    }

    fn take(&mut self, tag: u8, field: &'static str) -> Result<Self, CertificateParseError> {
        match self.any(field)? {
            (found, content) if found == tag => Ok(content),
            _ => Err(CertificateParseError { field }),
        }
    }

    fn split(&mut self) -> Option<(u8, Self)> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let (digits, behind) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if !(1..=4).contains(&digits.len()) {
                return None;
            }
            rest = behind;
            digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit))
        };
        let (content, behind) = rest.split_at_checked(length)?;
        self.0 = behind;
        Some((tag, Self(content)))
    }

    /// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`, as RFC 5280 has them.
    fn time(&mut self) -> Result<i64, CertificateParseError> {
        let error = CertificateParseError { field: "validity" };
        let (tag, content) = self.any("validity")?;
        let digits = content.0.strip_suffix(b"Z").ok_or(error.clone())?;
        let pair = |at: usize| -> Option<i64> {
            let digit = |at: usize| digits.get(at).filter(|digit| digit.is_ascii_digit());
            Some(i64::from(digit(at)? - b'0') * 10 + i64::from(digit(at + 1)? - b'0'))
        };
        let read = || {
            let (year, rest) = match (tag, digits.len()) {
                (UTC_TIME, 12) => (pair(0).map(|year| if year < 50 { 2000 + year } else { 1900 + year })?, 2),
                (GENERALIZED_TIME, 14) => (pair(0)? * 100 + pair(2)?, 4),
                _ => return None,
            };
            let (month, day) = (pair(rest)?, pair(rest + 2)?);
            let seconds = pair(rest + 4)? * 3600 + pair(rest + 6)? * 60 + pair(rest + 8)?;
            (1..=12).contains(&month).then(|| days_since_1970(year, month, day) * 86_400 + seconds)
        };
        read().ok_or(error)
    }
}

/// Howard Hinnant's `days_from_civil`: years begin in March, so that the leap day is their last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(names: &[&str], common_name: Option<&str>) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Orders");
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.not_before = date_time_ymd(2024, 2, 29);
        params.not_after = date_time_ymd(2051, 1, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn names_and_times_are_read() {
        let summary =
            CertificateSummary::read(&certificate(&["a.example", "10.0.0.1"], Some("ada"))).unwrap();
        assert_eq!(summary.common_name.as_deref(), Some("ada"));
        assert_eq!(summary.dns_names, ["a.example"], "an address is no name");
        assert_eq!(summary.not_before, 1_709_164_800, "2024-02-29, written with two digits of the year");
        assert_eq!(summary.not_after, 2_556_144_000, "2051-01-01, written with four");
    }

    #[test]
    fn the_user_is_the_common_name_or_the_only_dns_name() {
        let user = |names: &[&str], common_name| {
            CertificateSummary::read(&certificate(names, common_name)).unwrap().user().map(str::to_owned)
        };
        assert_eq!(user(&["a.example"], Some("ada")).as_deref(), Some("ada"));
        assert_eq!(user(&["a.example"], None).as_deref(), Some("a.example"));
        assert_eq!(user(&["a.example", "b.example"], None), None, "neither goes first");
        assert_eq!(user(&[], Some("")), None);
    }

    #[test]
    fn a_name_that_would_break_a_log_line_is_refused() {
        assert!(CertificateSummary::read(&certificate(&[], Some("ada\nroot"))).is_err());
    }

    #[test]
    fn any_damage_gives_an_error_or_a_summary() {
        let der = certificate(&["a.example"], Some("ada"));
        for length in 0..der.len() {
            let cut = CertificateDer::from(der[..length].to_vec());
            assert!(CertificateSummary::read(&cut).is_err(), "cut to {length} bytes");
        }
        for at in 0..der.len() {
            let mut bytes = der.to_vec();
            for value in [0x00, 0x7f, 0x80, 0x84, 0xff] {
                bytes[at] = value;
                let _ = CertificateSummary::read(&CertificateDer::from(bytes.clone()));
            }
        }
    }
}
