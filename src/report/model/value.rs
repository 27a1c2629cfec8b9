//! How numbers and bytes are written in a report.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// An address, or a machine word such as a register's content: `"0x7f32a1c04010"` in JSON, because 64 bits do not
/// survive most readers of JSON numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub u64);

/// Raw bytes in memory order: lower-case hexadecimal digits in JSON, two to a byte.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HexBytes(pub Vec<u8>);

/// Whether a section has no content, so that it is left out.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl From<u64> for Address {
    fn from(address: u64) -> Self {
        Self(address)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(AddressVisitor)
    }
}

struct AddressVisitor;

impl Visitor<'_> for AddressVisitor {
    type Value = Address;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address such as \"0x7f32a1c04010\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
        text.strip_prefix("0x")
            .filter(|digits| !digits.starts_with('+'))
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(Address)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl From<Vec<u8>> for HexBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for HexBytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(HexVisitor)
    }
}

struct HexVisitor;

impl Visitor<'_> for HexVisitor {
    type Value = HexBytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes as an even number of hexadecimal digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<HexBytes, E> {
        hex::decode(text)
            .map(HexBytes)
            .map_err(|error| E::custom(format_args!("{error}, expected bytes in hexadecimal")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn addresses_survive_json(word: u64) {
            let json = serde_json::to_string(&Address(word)).unwrap();
            prop_assert_eq!(&json, &format!("\"{word:#x}\""));
            prop_assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), Address(word));
        }

        #[test]
        fn bytes_survive_json(bytes: Vec<u8>) {
            let json = serde_json::to_string(&HexBytes(bytes.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<HexBytes>(&json).unwrap(), HexBytes(bytes));
        }
    }

    #[test]
    fn malformed_values_are_refused() {
        for wrong in [
            "\"\"",
            "\"0x\"",
            "\"10\"",
            "\"0x+1\"",
            "\"0x10000000000000000\"",
            "\"-0x1\"",
            "1",
        ] {
            assert!(serde_json::from_str::<Address>(wrong).is_err(), "{wrong}");
        }
        for wrong in ["\"0\"", "\"zz\"", "\"0x00\"", "[1]"] {
            assert!(serde_json::from_str::<HexBytes>(wrong).is_err(), "{wrong}");
        }
    }
}
