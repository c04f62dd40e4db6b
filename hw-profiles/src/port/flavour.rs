//! What a port is a port of.

use serde::{Deserialize, Serialize};

/// What a port is a port of, in the words of devlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavour {
    /// The wire.
    Physical,
    /// A representor of a physical function, of the host where a DPU sees it.
    PciPf,
    /// A representor of a virtual function.
    PciVf,
    /// A representor of a scalable function.
    PciSf,
    /// A function that faces whoever uses it: a virtual or scalable one, not its representor.
    Virtual,
    /// A port by which a switch leads to the processor.
    Cpu,
    /// A port by which switches are joined to one.
    Dsa,
    /// A port that leads nowhere.
    Unused,
    /// The kernel does not say.
    Untold,
}

impl Flavour {
    /// Its name, as in profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Physical => "physical",
            Self::PciPf => "pci-pf",
            Self::PciVf => "pci-vf",
            Self::PciSf => "pci-sf",
            Self::Virtual => "virtual",
            Self::Cpu => "cpu",
            Self::Dsa => "dsa",
            Self::Unused => "unused",
            Self::Untold => "untold",
        }
    }

    /// A name that a port of it may have.
    pub const fn example(self) -> Option<&'static str> {
        match self {
            Self::Physical => Some("p0"),
            Self::PciPf => Some("pf0"),
            Self::PciVf => Some("pf0vf0"),
            Self::PciSf => Some("pf0sf0"),
            Self::Virtual | Self::Cpu | Self::Dsa | Self::Unused | Self::Untold => None,
        }
    }

    /// By devlink's number of it (`enum devlink_port_flavour`).
    pub const fn numbered(number: u16) -> Self {
        match number {
            0 => Self::Physical,
            1 => Self::Cpu,
            2 => Self::Dsa,
            3 => Self::PciPf,
            4 => Self::PciVf,
            5 => Self::Virtual,
            6 => Self::Unused,
            7 => Self::PciSf,
            _ => Self::Untold,
        }
    }

    /// As the kernel makes the names (`__devlink_port_phys_port_name_get`): `p0`, `l1p0s2`, `pf0`, `c1pf0vf3`, `pf0sf1`.
    pub fn of(phys_port_name: &str) -> Self {
        let mut rest = phys_port_name;
        let controller = number_after(&mut rest, "c").is_some();
        if number_after(&mut rest, "pf").is_some() {
            let vf = number_after(&mut rest, "vf").is_some();
            let sf = !vf && number_after(&mut rest, "sf").is_some();
            return match (vf, sf) {
                _ if !rest.is_empty() => Self::Untold,
                (true, _) => Self::PciVf,
                (_, true) => Self::PciSf,
                _ => Self::PciPf,
            };
        }
        number_after(&mut rest, "l");
        let port = number_after(&mut rest, "p").is_some();
        number_after(&mut rest, "s");
        if port && !controller && rest.is_empty() { Self::Physical } else { Self::Untold }
    }
}

/// Takes a prefix and the digits after it off `rest`, if both are there.
fn number_after<'a>(rest: &mut &'a str, prefix: &str) -> Option<&'a str> {
    let after = rest.strip_prefix(prefix)?;
    let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, tail) = after.split_at(digits);
    (!number.is_empty()).then(|| {
        *rest = tail;
        number
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ports_name_says_what_it_is_a_port_of() {
        let names = [
            ("p0", Flavour::Physical),
            ("p1s3", Flavour::Physical),
            ("l2p8", Flavour::Physical),
            ("pf0", Flavour::PciPf),
            ("c1pf0", Flavour::PciPf),
            ("pf0vf12", Flavour::PciVf),
            ("c1pf1vf0", Flavour::PciVf),
            ("pf0sf88", Flavour::PciSf),
        ];
        for (name, flavour) in names {
            assert_eq!(Flavour::of(name), flavour, "{name}");
        }
        for name in ["", "p", "pf", "pf0vf", "pf0vf1x", "eth0", "c1p0", "0", "pf0s1"] {
            assert_eq!(Flavour::of(name), Flavour::Untold, "{name}");
        }
    }
}
