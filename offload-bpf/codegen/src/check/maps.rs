//! Maps: as many, as large and of such kinds as the device takes.

use std::collections::BTreeSet;

use selvedge_hw_profiles::profile::MapType;
use selvedge_hw_profiles::units::{Bytes, Entries, Maps};

use super::{Violation, count};
use crate::limits::Limits;
use crate::program::{DeviceProgram, Map};

pub(super) fn check(program: &DeviceProgram, limits: &Limits) -> Result<(), Violation> {
    let (has, most) = (Maps(count(program.maps.len())), limits.maps);
    if has > most {
        return Err(Violation::Maps { has, most });
    }
    for map in &program.maps {
        check_map(map, limits)?;
    }
    let sum = program.maps.iter().fold(0_u32, |sum, map| sum.saturating_add(map.max_entries));
    let (has, most) = (Entries(sum), limits.entries);
    if has > most { Err(Violation::Entries { has, most }) } else { Ok(()) }
}

fn check_map(map: &Map, limits: &Limits) -> Result<(), Violation> {
    let name = || map.name.clone();
    if !limits.map_types.contains(&map.kind) {
        return Err(Violation::MapType { map: name(), kind: map.kind });
    }
    let (has, most) = (Entries(map.max_entries), limits.entries_each);
    if has > most {
        return Err(Violation::EntriesEach { map: name(), has, most });
    }
    let (has, most) = (Bytes(map.key_size), limits.key);
    if has > most {
        return Err(Violation::Key { map: name(), has, most });
    }
    let (has, most) = (Bytes(map.value_size), limits.value);
    if has > most {
        return Err(Violation::Value { map: name(), has, most });
    }
    let entry = map.key_size.next_multiple_of(8) + map.value_size.next_multiple_of(8);
    let (has, most) = (Bytes(entry), limits.entry);
    if has > most {
        return Err(Violation::Entry { map: name(), has, most });
    }
    match contradiction(map) {
        Some(why) => Err(Violation::Map { map: name(), why }),
        None => Ok(()),
    }
}

fn contradiction(map: &Map) -> Option<&'static str> {
    /// `BPF_OBJ_NAME_LEN`, with the zero at its end.
    const NAME: usize = 16;
    let Map { name, kind, key_size, value_size, max_entries, entries } = map;
    let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    let sized = |(key, value): &(Vec<u8>, Vec<u8>)| {
        key.len() == *key_size as usize && value.len() == *value_size as usize
    };
    let keys: BTreeSet<&[u8]> = entries.iter().map(|(key, _)| key.as_slice()).collect();
    let index = |key: &[u8]| key.try_into().map_or(u32::MAX, u32::from_ne_bytes);
    if name.len() >= NAME || name.is_empty() || !name.bytes().all(named) {
        Some("its name is not 1 to 15 letters, digits, dots or underscores")
    } else if *max_entries == 0 || *key_size == 0 || *value_size == 0 {
        Some("it has no room")
    } else if *kind == MapType::Array && *key_size != 4 {
        Some("an ARRAY has keys of 4 B")
    } else if !entries.iter().all(sized) {
        Some("an entry has another size")
    } else if keys.len() != entries.len() {
        Some("two entries have one key")
    } else if count(entries.len()) > *max_entries
        || (*kind == MapType::Array && keys.iter().any(|key| index(key) >= *max_entries))
    {
        Some("an entry is beyond its end")
    } else {
        None
    }
}
