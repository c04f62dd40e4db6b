//! Packs: what a publication brought, each in one file, since one change may bring thousands of chunks.
//!
//! A pack is a run of entries: four bytes of length, little-endian, 32 of SHA-256, and so many bytes of content. The first is the
//! record of the generation; then come chunks and manifests. A pack is written whole or not at all.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use selvedge_proto::{Digest, GenerationRecord};

use super::MemoryError;
use crate::store::Publication;

/// Bytes before an entry's content.
const HEAD: usize = 4 + 32;

/// The packs of a folder, in the order of their generations; none where it is not there.
pub(super) fn all(folder: &Path) -> Result<Vec<PathBuf>, MemoryError> {
    let failed = |source| MemoryError::Io { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut packs = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        // Others were being written when the controller was killed.
        if entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            packs.push(entry.path());
        }
    }
    packs.sort();
    Ok(packs)
}

/// Writes what `publication` brings.
pub(super) fn write(path: &Path, publication: &Publication) -> Result<(), MemoryError> {
    let Publication { record, manifests, chunks, .. } = publication;
    let record = record.encode();
    let manifests = manifests.iter().map(|(digest, bytes)| (*digest, bytes.as_slice()));
    let content = chunks.iter().chain(manifests);
    super::write(path, |file| {
        for (digest, bytes) in [(Digest::of(&record), record.as_slice())].into_iter().chain(content) {
            let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            file.write_all(&length.to_le_bytes())?;
            file.write_all(digest.as_bytes())?;
            file.write_all(bytes)?;
        }
        Ok(())
    })
}

/// The record of a pack.
pub(super) fn record(path: &Path) -> Result<GenerationRecord, MemoryError> {
    let file = File::open(path).map_err(|source| MemoryError::Io { path: path.to_owned(), source })?;
    let damaged = || MemoryError::Damaged { path: path.to_owned() };
    let (digest, length) = head(BufReader::new(&file)).ok().flatten().ok_or_else(damaged)?;
    let place = Place { pack: 0, offset: HEAD as u64, length };
    let pack = Pack { path: path.to_owned(), file };
    Ok(GenerationRecord::decode(&pack.get(digest, place)?)?)
}

/// The content of all packs.
pub(super) struct Packs {
    folder: PathBuf,
    packs: Vec<Pack>,
    places: HashMap<Digest, Place>,
}

struct Pack {
    path: PathBuf,
    file: File,
}

/// Where an entry's content is.
#[derive(Clone, Copy)]
struct Place {
    pack: usize,
    offset: u64,
    length: u32,
}

impl Packs {
    pub(super) fn open(folder: &Path) -> Result<Self, MemoryError> {
        let mut all = Self { folder: folder.to_owned(), packs: Vec::new(), places: HashMap::new() };
        for path in self::all(folder)? {
            let failed = |source| MemoryError::Io { path: path.clone(), source };
            let file = File::open(&path).map_err(failed)?;
            all.enter(all.packs.len(), &file).map_err(failed)?;
            all.packs.push(Pack { path, file });
        }
        Ok(all)
    }

    fn enter(&mut self, pack: usize, file: &File) -> io::Result<()> {
        let mut entries = BufReader::new(file);
        let mut offset = 0;
        while let Some((digest, length)) = head(&mut entries)? {
            offset += HEAD as u64;
            self.places.insert(digest, Place { pack, offset, length });
            entries.seek_relative(i64::from(length))?;
            offset += u64::from(length);
        }
        Ok(())
    }

    pub(super) fn get(&self, digest: Digest) -> Result<Vec<u8>, MemoryError> {
        let place = self.places.get(&digest);
        let place = place.ok_or_else(|| MemoryError::Missing { folder: self.folder.clone(), digest })?;
        self.packs[place.pack].get(digest, *place)
    }
}

impl Pack {
    fn get(&self, digest: Digest, place: Place) -> Result<Vec<u8>, MemoryError> {
        let damaged = || MemoryError::Damaged { path: self.path.clone() };
        let end = place.offset + u64::from(place.length);
        if self.file.metadata().map_or(0, |file| file.len()) < end {
            return Err(damaged());
        }
        let mut bytes = vec![0; place.length as usize];
        self.file.read_exact_at(&mut bytes, place.offset).map_err(|_| damaged())?;
        if Digest::of(&bytes) == digest { Ok(bytes) } else { Err(damaged()) }
    }
}

/// What an entry begins with; none behind the last.
fn head(mut entries: impl BufRead) -> io::Result<Option<(Digest, u32)>> {
    if entries.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let (mut length, mut digest) = ([0; 4], [0; 32]);
    entries.read_exact(&mut length)?;
    entries.read_exact(&mut digest)?;
    let digest = Digest::try_from(digest.as_slice()).map_err(io::Error::other)?;
    Ok(Some((digest, u32::from_le_bytes(length))))
}
