//! Who is meant by a word: a workload, a place outside, a machine, or an address.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use crate::documents::sink::suggestion;
use crate::model::Model;

/// An end of connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// What it is.
    pub kind: EndKind,
    /// Its name; `None` for an address of nobody's.
    pub name: Option<String>,
    /// Its addresses; where one was given, only that one.
    pub addresses: BTreeSet<IpAddr>,
}

/// What an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndKind {
    /// A workload.
    Workload,
    /// A place outside that the fabric's document names.
    External,
    /// A machine of the fabric.
    Node,
    /// An address that the documents know nothing of.
    World,
}

impl fmt::Display for End {
    /// The name; `10.1.0.9` where there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.addresses.first()) {
            (Some(name), _) => f.pad(name),
            (None, Some(address)) => f.pad(&address.to_string()),
            (None, None) => f.pad("nobody"),
        }
    }
}

/// A word that means nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no workload, external or node `{word}`, and it is no address{}",
    near.as_ref().map(|near| format!("; {near}")).unwrap_or_default()
)]
pub struct NoEnd {
    /// The word.
    pub word: String,
    /// The names that are like it, in words.
    pub near: Option<String>,
}

/// Whom `word` means: who has the address, or the workload, else the external, else the node of that name.
pub fn end(model: &Model, word: &str) -> Result<End, NoEnd> {
    match word.parse::<IpAddr>() {
        Ok(address) => Ok(owner(model, address.to_canonical())),
        Err(_) => {
            let named = |(_, name, _): &(EndKind, &str, _)| *name == word;
            let found = everyone(model).find(named).map(|(kind, name, addresses)| End {
                kind,
                name: Some(name.to_owned()),
                addresses: addresses.clone(),
            });
            found.ok_or_else(|| {
                let near = suggestion(word, everyone(model).map(|(_, name, _)| name));
                NoEnd { word: word.to_owned(), near }
            })
        }
    }
}

fn owner(model: &Model, address: IpAddr) -> End {
    let owner = everyone(model).find(|(_, _, addresses)| addresses.contains(&address));
    let (kind, name) = owner.map_or((EndKind::World, None), |(kind, name, _)| (kind, Some(name.to_owned())));
    End { kind, name, addresses: BTreeSet::from([address]) }
}

/// Everyone who has a name, in the order in which names count.
fn everyone(model: &Model) -> impl Iterator<Item = (EndKind, &str, &BTreeSet<IpAddr>)> {
    let workloads = model.workloads.values().map(|it| (EndKind::Workload, it.name.as_str(), &it.addresses));
    let externals =
        model.fabric.externals.values().map(|it| (EndKind::External, it.name.as_str(), &it.addresses));
    let nodes = model.fabric.nodes.values().map(|it| (EndKind::Node, it.name.as_str(), &it.addresses));
    workloads.chain(externals).chain(nodes)
}
