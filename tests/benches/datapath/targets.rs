//! The targets: what must hold of the figures of one run.

use crate::cases::{Pairs, Topic};
use crate::contenders::{Contender, Memory};
use crate::results::{Answer, Results};

/// One target, and what came of it.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) value: Answer,
    pub(crate) limit: f64,
}

impl Target {
    /// Not measured is not met.
    pub(crate) fn is_met(&self) -> bool {
        self.value.as_ref().is_ok_and(|value| *value <= self.limit)
    }
}

/// Every target, judged by `results`. Ratios are of ns per packet over the whole path, of the family that does worse.
pub(crate) fn judge(results: &Results) -> Vec<Target> {
    use Contender::{Filter, Hash, Nft, Parse, Trie};
    const FEW: Topic = Topic::Established { flows: 2_000 };
    const MANY: Topic = Topic::Established { flows: 60_000 };
    const MILLION: Topic = Topic::Addresses(1_000_000);
    const THOUSAND: Topic = Topic::Addresses(1_000);
    const ENTRIES: Topic = Topic::PolicyEntries(Pairs::HUNDRED_THOUSAND);
    const TEN_ENTRIES: Topic = Topic::PolicyEntries(Pairs::TEN);
    let memory = |of: fn(&Memory) -> f64| results.memory.as_ref().map(of).map_err(Clone::clone);
    let ratios = [
        ("established, 2,000 flows / nft conntrack established", results.against(FEW, Nft), 0.28),
        ("established, 2,000 flows / parse only", results.against(FEW, Parse), 1.3),
        ("established, 60,000 flows / nft conntrack established", results.against(MANY, Nft), 0.35),
        ("established, 60,000 flows / parse only", results.against(MANY, Parse), 1.7),
        ("new and denied / nft conntrack new → drop", results.against(Topic::NewDenied, Nft), 0.33),
        ("source-set deny / xdp-filter", results.against(Topic::SourceSet, Filter), 0.75),
        ("source-set deny / nft's set", results.against(Topic::SourceSet, Nft), 0.35),
        ("identity of 1,000,000 addresses / over a kernel HASH", results.against(MILLION, Hash), 0.65),
        ("identity of 1,000,000 addresses / over an LPM trie", results.against(MILLION, Trie), 0.25),
        ("identity of 1,000,000 addresses / of 1,000", results.between(MILLION, THOUSAND), 1.8),
        ("identity of 1,000,000 addresses, IPv6 / IPv4", results.families(MILLION), 1.25),
        ("100,000 policy entries / 10", results.between(ENTRIES, TEN_ENTRIES), 1.25),
        ("kernel memory, bytes per IPv4 address (both halves)", memory(|memory| memory.per_address), 32.0),
        ("kernel memory, bytes per connection", memory(|memory| memory.per_connection), 160.0),
    ];
    ratios.into_iter().map(|(name, value, limit)| Target { name, value, limit }).collect()
}
