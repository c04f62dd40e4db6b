//! Conversions that several messages share, and what can be wrong with a message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use selvedge_topology::demands::Mode;
use selvedge_topology::labels::{LabelError, Labels};
use selvedge_topology::model::{Action, Direction, NodeRole, PortRole};
use selvedge_topology::names::NameError;

use crate::wire;

/// A message that is not one, or that says what can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No protobuf message of that type.
    #[error("not a valid message: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// A field that must be there is not.
    #[error("field {field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A number that stands for nothing.
    #[error("{field} has no meaning for {value}")]
    Unknown {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// A number above what the field may hold.
    #[error("{field} is {value}, at most {limit} is possible")]
    TooLarge {
        /// The field.
        field: &'static str,
        /// Its value, or how many there are.
        value: u64,
        /// The highest one possible.
        limit: u64,
    },
    /// Not an address of 4 or 16 bytes.
    #[error("an address has {length} bytes, not 4 or 16")]
    Address {
        /// How many bytes there are.
        length: usize,
    },
    /// Not a prefix: too long, or with host bits.
    #[error("{address}/{length} is no prefix: too long, or bits set behind its length")]
    Prefix {
        /// Its address.
        address: IpAddr,
        /// Its length.
        length: u32,
    },
    /// Not a digest.
    #[error("a digest has {length} bytes or digits, not 32 bytes or 64 digits")]
    Digest {
        /// How many there are.
        length: usize,
    },
    /// Not a signature.
    #[error("a signature has {length} bytes, not 64")]
    Signature {
        /// How many there are.
        length: usize,
    },
    /// Not a name.
    #[error("{field}: {source}")]
    Name {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        source: NameError,
    },
    /// Not a label.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// Something that only one node can have, among what nodes share.
    #[error("{field} is among what nodes share, and only one can have it")]
    Shared {
        /// What it is.
        field: &'static str,
    },
    /// Text in a form the field does not have.
    #[error("{field} is `{text}`, which has not the form it must have")]
    Form {
        /// The field.
        field: &'static str,
        /// Its text, cut.
        text: String,
    },
}

/// Reads a name.
pub(crate) fn name<N: FromStr<Err = NameError>>(field: &'static str, text: &str) -> Result<N, DecodeError> {
    text.parse().map_err(|source| DecodeError::Name { field, source })
}

/// Reads a name that may be absent, which the wire says by the empty string.
pub(crate) fn optional_name<N>(field: &'static str, text: &str) -> Result<Option<N>, DecodeError>
where
    N: FromStr<Err = NameError>,
{
    if text.is_empty() { Ok(None) } else { name(field, text).map(Some) }
}

/// Takes text for people, of at most `limit` bytes. Control characters become spaces: what comes over a wire must
/// not steer a terminal.
pub(crate) fn prose(field: &'static str, text: &str, limit: usize) -> Result<String, DecodeError> {
    at_most(field, text.len(), limit)?;
    Ok(text.replace(char::is_control, " "))
}

/// Checks a count or length.
pub(crate) fn at_most(field: &'static str, count: usize, limit: usize) -> Result<(), DecodeError> {
    if count <= limit {
        return Ok(());
    }
    Err(DecodeError::TooLarge { field, value: count as u64, limit: limit as u64 })
}

/// Takes a number that must fit a narrower type.
pub(crate) fn narrow<T>(field: &'static str, value: u32, limit: T) -> Result<T, DecodeError>
where
    T: TryFrom<u32> + Into<u64>,
{
    T::try_from(value).map_err(|_| DecodeError::TooLarge { field, value: value.into(), limit: limit.into() })
}

/// The field, if it is there.
pub(crate) fn present<T>(field: &'static str, value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Missing { field })
}

pub(crate) fn address_to_wire(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

pub(crate) fn address_from_wire(bytes: &[u8]) -> Result<IpAddr, DecodeError> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(bytes).map_err(|_| DecodeError::Address { length: bytes.len() })?;
    Ok(Ipv6Addr::from(octets).into())
}

pub(crate) fn prefix_to_wire(prefix: IpNet) -> wire::Prefix {
    wire::Prefix { address: address_to_wire(prefix.addr()), length: prefix.prefix_len().into() }
}

pub(crate) fn prefix_from_wire(prefix: wire::Prefix) -> Result<IpNet, DecodeError> {
    let wire::Prefix { address, length } = prefix;
    let address = address_from_wire(&address)?;
    let wrong = DecodeError::Prefix { address, length };
    let read = u8::try_from(length).ok().and_then(|length| IpNet::new(address, length).ok());
    read.filter(|prefix| prefix.trunc() == *prefix).ok_or(wrong)
}

pub(crate) fn labels_to_wire(labels: &Labels) -> Vec<wire::Label> {
    let Labels(labels) = labels;
    labels.iter().map(|(key, value)| wire::Label { key: key.to_string(), value: value.to_string() }).collect()
}

pub(crate) fn labels_from_wire(labels: Vec<wire::Label>) -> Result<Labels, DecodeError> {
    let pair = |wire::Label { key, value }| Ok((key.parse()?, value.parse()?));
    labels.into_iter().map(pair).collect::<Result<_, DecodeError>>().map(Labels)
}

/// Both ways between an enumeration of the wire and one of the model; unspecified is an error.
macro_rules! enumerations {
    ($($to:ident, $from:ident, $field:literal, $wire:ident, $model:ty { $($variant:ident),* $(,)? })*) => {$(
        pub(crate) fn $to(value: $model) -> i32 {
            match value { $(<$model>::$variant => wire::$wire::$variant as i32),* }
        }
        pub(crate) fn $from(value: i32) -> Result<$model, DecodeError> {
            match wire::$wire::try_from(value) {
                $(Ok(wire::$wire::$variant) => Ok(<$model>::$variant),)*
                Ok(wire::$wire::Unspecified) => Err(DecodeError::Missing { field: $field }),
                Err(_) => Err(DecodeError::Unknown { field: $field, value: value.into() }),
            }
        }
    )*};
}
pub(crate) use enumerations;

enumerations! {
    node_role_to_wire, node_role_from_wire, "node role", NodeRole, NodeRole { Host, Dpu, Switch }
    port_role_to_wire, port_role_from_wire, "port role", PortRole, PortRole { Uplink, Workload, Fabric, Management }
    direction_to_wire, direction_from_wire, "direction", Direction, Direction { Ingress, Egress }
    action_to_wire, action_from_wire, "action", Action, Action { Allow, Deny, Pass }
    xdp_mode_to_wire, xdp_mode_from_wire, "XDP mode", XdpMode, Mode { Offload, Native, Generic }
}
