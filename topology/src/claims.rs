//! Which labels workloads may claim, and who may set them.
//!
//! What may be claimed is a property of documents, checked where they are read. Who may set a label is one of a change: the
//! rules in force say who, and what is compared is who held a label before and who would hold it after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::labels::{LabelError, LabelKey, LabelValue, Labels, RESERVED_PREFIX};
use crate::model::{Attachment, Model, Place, Workload};
use crate::names::{OperatorName, WorkloadName};
use crate::operators::{Asker, Role};

/// Which labels a rule is about: one key, or every key under a prefix, which ends with `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelScope(Box<str>);

impl LabelScope {
    /// The key or prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix of a key, or of what is one itself, with its `/`.
    fn prefix(text: &str) -> Option<&str> {
        text.rfind('/').map(|slash| &text[..=slash])
    }

    /// Whether some label is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let holds = |outer: &Self, inner: &Self| Self::prefix(inner.as_str()) == Some(outer.as_str());
        self == other || holds(self, other) || holds(other, self)
    }
}

impl FromStr for LabelScope {
    type Err = LabelError;
    fn from_str(text: &str) -> Result<Self, LabelError> {
        if text == RESERVED_PREFIX {
            return Err(LabelError::Reserved { key: text.to_owned() });
        }
        if text.ends_with('/') {
            // A prefix is one that some key can have.
            let wrong = |_| LabelError::Key { key: text.chars().take(80).collect() };
            LabelKey::from_document(&format!("{text}x")).map_err(wrong)?;
        } else {
            LabelKey::from_document(text)?;
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for LabelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Which values a label may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Any.
    Any,
    /// One of these.
    OneOf(BTreeSet<LabelValue>),
}

impl fmt::Display for Values {
    /// `dev, prod`, sorted
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::OneOf(values) = self else { return f.write_str("any") };
        f.write_str(&values.iter().map(LabelValue::as_str).collect::<Vec<_>>().join(", "))
    }
}

/// Who may set a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setters {
    /// Whoever may apply.
    Appliers,
    /// Operators of a role or one that may more, and some by name.
    Only {
        /// The role.
        role: Option<Role>,
        /// The names.
        operators: BTreeSet<OperatorName>,
    },
}

impl Setters {
    /// No one.
    pub(crate) fn nobody() -> Self {
        Self::Only { role: None, operators: BTreeSet::new() }
    }

    /// Whether `asker` is among them.
    pub fn admit(&self, asker: &Asker) -> bool {
        match (self, asker) {
            (Self::Appliers, _) => true,
            (Self::Only { .. }, Asker::Unknown) => false,
            (Self::Only { role, operators }, Asker::Operator { name, role: has }) => {
                role.is_some_and(|least| *has >= least) || operators.contains(name)
            }
        }
    }
}

impl fmt::Display for Setters {
    /// `an operator with role admin, anna or bob`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Only { role, operators } = self else { return f.write_str("whoever may apply") };
        let role = role.map(|role| format!("an operator with role {role}"));
        let mut all: Vec<String> =
            role.into_iter().chain(operators.iter().map(ToString::to_string)).collect();
        match all.pop() {
            None => f.write_str("nobody"),
            Some(last) if all.is_empty() => f.write_str(&last),
            Some(last) => write!(f, "{} or {last}", all.join(", ")),
        }
    }
}

/// What holds for the labels of one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelRule {
    /// What workloads may claim.
    pub values: Values,
    /// Who may have them claim it.
    pub set_by: Setters,
}

/// Whether labels that no rule is about may be claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unlisted {
    /// They may, with any value.
    #[default]
    Allow,
    /// They may not.
    Refuse,
}

/// All rules for labels. No two are about the same label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelRules {
    rules: BTreeMap<LabelScope, LabelRule>,
    unlisted: Unlisted,
}

impl LabelRules {
    pub(crate) fn new(rules: BTreeMap<LabelScope, LabelRule>, unlisted: Unlisted) -> Self {
        Self { rules, unlisted }
    }

    /// The rule for `key`.
    pub fn of(&self, key: &LabelKey) -> Option<(&LabelScope, &LabelRule)> {
        if self.rules.is_empty() {
            return None;
        }
        let of = |text: &str| self.rules.get_key_value(&LabelScope(text.into()));
        of(key.as_str()).or_else(|| of(LabelScope::prefix(key.as_str())?))
    }

    /// Every rule, by what it is about.
    pub fn iter(&self) -> impl Iterator<Item = (&LabelScope, &LabelRule)> {
        self.rules.iter()
    }

    /// What becomes of labels that none is about.
    pub fn unlisted(&self) -> Unlisted {
        self.unlisted
    }

    /// Who may set the label `key`.
    fn setters(&self, key: &LabelKey) -> &Setters {
        self.of(key).map_or(&Setters::Appliers, |(_, rule)| &rule.set_by)
    }
}

/// What is claimed, in one desired state, of the labels that not everybody may set; and the rules that say so.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    rules: LabelRules,
    claimants: BTreeMap<WorkloadName, (Place, Claimant)>,
}

/// A workload that has such labels: who has its addresses where it is attached, has them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claimant {
    labels: Labels,
    addresses: BTreeSet<IpAddr>,
    attachment: Attachment,
}

impl Claimant {
    /// What `workload` has of the labels that `rules` let only some set; `None` where that is nothing.
    fn of(rules: &LabelRules, workload: &Workload) -> Option<Self> {
        let guarded = |key: &LabelKey| *rules.setters(key) != Setters::Appliers;
        let labels = workload.labels.0.iter().filter(|(key, _)| guarded(key));
        let labels: BTreeMap<_, _> = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
        (!labels.is_empty()).then(|| Self {
            labels: Labels(labels),
            addresses: workload.addresses.clone(),
            attachment: workload.attachment.clone(),
        })
    }

    /// Whether `other` stands for the same addresses at the same place.
    fn is_where(&self, other: &Self) -> bool {
        (&self.addresses, &self.attachment) == (&other.addresses, &other.attachment)
    }
}

/// What would be done to a label of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The workload gets it, or comes with it.
    Given(LabelValue),
    /// The workload loses it, or goes with it.
    Taken(LabelValue),
    /// It gets another value.
    Changed {
        /// From this.
        before: LabelValue,
        /// To this.
        after: LabelValue,
    },
    /// The workload keeps it and gets other addresses or another attachment: others have the label then.
    Moved(LabelValue),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(value) => write!(f, "gets `{value}`"),
            Self::Taken(value) => write!(f, "loses `{value}`"),
            Self::Changed { before, after } => write!(f, "goes from `{before}` to `{after}`"),
            Self::Moved(value) => {
                write!(f, "is `{value}`, and the workload gets other addresses or another attachment")
            }
        }
    }
}

/// A label that would be set by somebody who may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trespass {
    /// The workload.
    pub workload: WorkloadName,
    /// Where the documents name it; the documents in force, where it would go.
    pub place: Place,
    /// The label.
    pub key: LabelKey,
    /// What would be done to it.
    pub setting: Setting,
    /// Who may do that.
    pub setters: Setters,
}

impl fmt::Display for Trespass {
    /// ``workloads.yaml:3:18: label `env` of workload web1 goes from `dev` to `prod`: only an operator with role admin may set it``
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, place, key, setting, setters } = self;
        write!(f, "{place}: label `{key}` of workload {workload} {setting}: only {setters} may set it")
    }
}

impl Claims {
    /// Those of `model`.
    pub fn of(model: &Model) -> Self {
        Self::among(&model.fabric.label_rules, model.workloads.values())
    }

    /// Those of some workloads, under `rules`.
    pub fn among<'w>(rules: &LabelRules, workloads: impl IntoIterator<Item = &'w Workload>) -> Self {
        let claimant = |workload: &Workload| {
            let claimant = Claimant::of(rules, workload)?;
            Some((workload.name.clone(), (workload.place.clone(), claimant)))
        };
        let claimants = workloads.into_iter().filter_map(claimant).collect();
        Self { rules: rules.clone(), claimants }
    }

    /// The rules in force.
    pub fn rules(&self) -> &LabelRules {
        &self.rules
    }

    /// What `asker` would set without being let to by the rules in force, were `after` the desired state: `changed` are the
    /// workloads that are not as they were.
    pub fn trespasses<'w>(
        &self,
        after: &Model,
        changed: impl IntoIterator<Item = &'w WorkloadName>,
        asker: &Asker,
    ) -> Vec<Trespass> {
        let mut found = Vec::new();
        for workload in changed {
            let (place, before) = self.claimants.get(workload).map(|(place, before)| (place, before)).unzip();
            let wanted = after.workloads.get(workload);
            let now = wanted.and_then(|workload| Claimant::of(&self.rules, workload));
            let place = wanted.map(|workload| &workload.place).or(place).cloned().unwrap_or_default();
            for (key, setting) in settings(before, now.as_ref()) {
                let setters = self.rules.setters(&key);
                if !setters.admit(asker) {
                    let (workload, place, setters) = (workload.clone(), place.clone(), setters.clone());
                    found.push(Trespass { workload, place, key, setting, setters });
                }
            }
        }
        found
    }
}

/// What is done to which labels of a workload.
fn settings(before: Option<&Claimant>, after: Option<&Claimant>) -> BTreeMap<LabelKey, Setting> {
    let stays = before.zip(after).is_some_and(|(before, after)| before.is_where(after));
    let labels = |claimant: Option<&Claimant>| claimant.map(|it| it.labels.clone()).unwrap_or_default().0;
    let (before, mut after) = (labels(before), labels(after));
    let mut settings = BTreeMap::new();
    for (key, before) in before {
        let setting = match after.remove(&key) {
            None => Setting::Taken(before),
            Some(after) if after != before => Setting::Changed { before, after },
            Some(_) if stays => continue,
            Some(value) => Setting::Moved(value),
        };
        settings.insert(key, setting);
    }
    settings.extend(after.into_iter().map(|(key, value)| (key, Setting::Given(value))));
    settings
}
