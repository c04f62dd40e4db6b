//! The policies of a fabric: those of the platform, and ten and more of each application.

use super::documents::{Document, Name};
use super::workload::{Role, Tier};
use super::{Fabric, Size};

/// The ports of the policies that are edited begin here.
const SCRAPED: u16 = 20_000;
const LEDGER: u16 = 40_000;

/// Everybody else.
const ANYBODY: &str = "{entity: any}";

impl Fabric {
    /// All of them.
    pub(super) fn policies(&self) -> Vec<Document> {
        let size = self.size;
        let cidrs: Vec<String> = (0..20).map(|block| format!("198.51.{block}.0/24")).collect();
        let group = Name { kind: "CidrGroup", name: "blocked".to_owned() };
        let mut all = vec![
            // Before the policy that names it, wherever these are cut into parts.
            Document::new(group, &format!("spec: {{cidrs: [{}]}}\n", cidrs.join(", "))),
            self.scraping(),
            self.ledger(),
            policy(
                "names",
                "application",
                &labels(Role::Dns),
                &ingress("allow", ANYBODY, "protocol: UDP, port: 53"),
            ),
            policy(
                "world",
                "application",
                &labels(Role::Gateway),
                &ingress("allow", "{entity: world}", "protocol: TCP, port: 443"),
            ),
            policy(
                "blocked",
                "platform",
                &labels(Role::Gateway),
                &ingress("deny", "{cidrGroup: blocked}", "protocol: any"),
            ),
            policy("isolated", "emergency", "{matchLabels: {quarantine: \"yes\"}}", &isolation()),
            policy("outbound", "baseline", "{}", &egress("allow", ANYBODY, "protocol: any")),
        ];
        let fixed = all.len() - 1;
        let applications = size.applications();
        all.extend((0..size.policies.saturating_sub(fixed)).map(|index| {
            let (application, kind) = (index % applications, index / applications);
            of_application(size, application, kind)
        }));
        all
    }

    /// Concerns every workload, and so every node.
    pub(super) fn scraping(&self) -> Document {
        let port = format!("protocol: TCP, port: {}", SCRAPED + self.edits);
        policy("scraping", "platform", "{}", &ingress("allow", &peer(Role::Monitoring), &port))
    }

    /// Concerns the few nodes where the ledger is.
    pub(super) fn ledger(&self) -> Document {
        let port = format!("protocol: TCP, port: {}", LEDGER + self.edits);
        policy("ledger", "application", &labels(Role::Ledger), &ingress("allow", &peer(Role::Ledger), &port))
    }
}

/// One of the policies of an application; of those behind the first ten there are as many as anybody wants.
fn of_application(size: Size, application: usize, kind: usize) -> Document {
    let own = |tier| Role::Application(application, tier);
    let neighbour = Role::Application(size.neighbour(application), Tier::App);
    let (word, to, from, port) = match kind {
        0 => ("web", Tier::Web, Role::Gateway, 443),
        1 => ("app", Tier::App, own(Tier::Web), 8080),
        2 => ("db", Tier::Db, own(Tier::App), 5432),
        3 => ("cache", Tier::Cache, own(Tier::App), 6379),
        4 => ("db-peers", Tier::Db, own(Tier::Db), 7000),
        5 => ("cache-peers", Tier::Cache, own(Tier::Cache), 7001),
        6 => ("web-called", Tier::Web, neighbour, 8443),
        7 => ("cache-of-web", Tier::Cache, own(Tier::Web), 6380),
        8 => ("app-peers", Tier::App, own(Tier::App), 7002),
        9 => return db_sends_little(application),
        more => ("more", Tier::App, own(Tier::Web), 9_000 + more as u16),
    };
    let name = format!("a{application}-{word}{}", if kind > 9 { kind.to_string() } else { String::new() });
    let port = format!("protocol: TCP, port: {port}");
    policy(&name, "application", &labels(own(to)), &ingress("allow", &peer(from), &port))
}

/// Databases open nothing themselves but to each other and to DNS.
fn db_sends_little(application: usize) -> Document {
    let own = Role::Application(application, Tier::Db);
    let names = rule("allow", "to", &peer(Role::Dns), "protocol: UDP, port: 53");
    let peers = rule("allow", "to", &peer(own), "protocol: TCP, port: 7000");
    let rules = format!("  egress:\n{names}{peers}");
    policy(&format!("a{application}-db-sends"), "application", &labels(own), &rules)
}

fn policy(name: &str, tier: &str, selector: &str, rules: &str) -> Document {
    let name = Name { kind: "SegmentationPolicy", name: name.to_owned() };
    Document::new(name, &format!("spec:\n  tier: {tier}\n  selector: {selector}\n{rules}"))
}

fn labels(role: Role) -> String {
    format!("{{matchLabels: {{{}}}}}", role.labels())
}

fn peer(role: Role) -> String {
    format!("{{selector: {}}}", labels(role))
}

fn rule(action: &str, side: &str, peer: &str, port: &str) -> String {
    format!("    - action: {action}\n      {side}: [{peer}]\n      ports: [{{{port}}}]\n")
}

fn ingress(action: &str, peer: &str, port: &str) -> String {
    format!("  ingress:\n{}", rule(action, "from", peer, port))
}

fn egress(action: &str, peer: &str, port: &str) -> String {
    format!("  egress:\n{}", rule(action, "to", peer, port))
}

fn isolation() -> String {
    ingress("deny", ANYBODY, "protocol: any") + &egress("deny", ANYBODY, "protocol: any")
}
