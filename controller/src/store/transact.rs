//! Writing: transactions of bounded size, several at a time, each under the fence.

use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp, TxnOpResponse};
use futures::{StreamExt, TryStreamExt, stream};
use selvedge_proto::keys::{self, MAX_TXN_OPS};

use super::{Fence, Store, StoreError};

/// Bytes of values in one transaction: below etcd's limit of 1.5 MiB a request.
pub(super) const MAX_TXN_BYTES: usize = 1 << 20;
/// Transactions that are under way at once: while etcd writes one to its disk, it takes the next. Of 1, 2, 4, 8 and 16, this was best on two
/// cores, with 10,000 targets in 118 ms instead of 207; and it leaves agents' requests room, of which etcd takes some 5,000 at once.
const IN_FLIGHT: usize = 8;

/// How a transaction ended that the fence allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Committed {
    /// It was carried out.
    Done,
    /// One of its own conditions did not hold.
    Conflict,
}

impl Committed {
    /// For transactions without conditions of their own, and for those that have no second try.
    pub(super) fn or_conflict(self) -> Result<(), StoreError> {
        match self {
            Self::Done => Ok(()),
            Self::Conflict => Err(StoreError::Conflict),
        }
    }
}

/// A write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Put(String, Vec<u8>),
    Delete(String),
}

impl Operation {
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Self::Put(key, value) => key.len() + value.len(),
            Self::Delete(key) => key.len(),
        }
    }
}

impl From<Operation> for TxnOp {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Put(key, value) => Self::put(key, value, None),
            Operation::Delete(key) => Self::delete(key, None),
        }
    }
}

/// The condition that `key` does not exist.
pub(super) fn is_absent(key: &str) -> Compare {
    Compare::create_revision(key, CompareOp::Equal, 0)
}

/// Cuts `operations` into as few transactions as the limits allow, in order.
fn batches(operations: Vec<Operation>) -> Vec<Vec<Operation>> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for operation in operations {
        let size = operation.size();
        if !batch.is_empty() && (batch.len() == MAX_TXN_OPS || bytes + size > MAX_TXN_BYTES) {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += size;
        batch.push(operation);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

impl Store {
    /// Those of `keys` that are not there.
    pub(super) async fn absent(&self, keys: Vec<String>) -> Result<Vec<String>, StoreError> {
        let batches: Vec<Vec<String>> = keys.chunks(MAX_TXN_OPS).map(<[String]>::to_vec).collect();
        let absent =
            stream::iter(batches).map(|batch| self.absent_of(batch)).buffered(IN_FLIGHT).try_concat();
        absent.await
    }

    async fn absent_of(&self, keys: Vec<String>) -> Result<Vec<String>, StoreError> {
        let get = |key: &String| TxnOp::get(key.as_str(), Some(GetOptions::new().with_keys_only()));
        let gets: Vec<TxnOp> = keys.iter().map(get).collect();
        let response = self.carry_out(Txn::new().and_then(gets)).await?;
        let found = keys.into_iter().zip(response.op_responses());
        let is_absent =
            |answer: &TxnOpResponse| matches!(answer, TxnOpResponse::Get(found) if found.kvs().is_empty());
        Ok(found.filter(|(_, answer)| is_absent(answer)).map(|(key, _)| key).collect())
    }

    /// Carries out `operations`, of which none depends on another, if `fence` still holds, in as few transactions as the limits
    /// allow. Where it fails, some may have been carried out.
    pub(super) async fn write(&self, fence: Fence, operations: Vec<Operation>) -> Result<(), StoreError> {
        stream::iter(batches(operations))
            .map(|batch| self.commit(fence, Vec::new(), batch.into_iter().map(Into::into).collect()))
            .buffer_unordered(IN_FLIGHT)
            .try_for_each(|committed| std::future::ready(committed.or_conflict()))
            .await
    }

    /// One transaction under the fence, with conditions of its own.
    pub(super) async fn commit(
        &self,
        fence: Fence,
        conditions: Vec<Compare>,
        operations: Vec<TxnOp>,
    ) -> Result<Committed, StoreError> {
        let compares: Vec<Compare> = conditions.into_iter().chain([fence.compare()]).collect();
        let leader = TxnOp::get(keys::LEADER, None);
        let response =
            self.carry_out(Txn::new().when(compares).and_then(operations).or_else([leader])).await?;
        if response.succeeded() {
            return Ok(Committed::Done);
        }
        let holds = response.op_responses().iter().any(
            |answer| matches!(answer, TxnOpResponse::Get(found) if found.kvs().iter().any(|pair| fence.made(pair))),
        );
        if holds { Ok(Committed::Conflict) } else { Err(StoreError::Deposed) }
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    #[test]
    fn transactions_stay_within_their_limits_and_nothing_is_lost() {
        let mut rng = Rng::with_seed(5);
        let (mut by_bytes, mut by_count) = (0, 0);
        for _ in 0..200 {
            let largest = *rng.choice(&[10, 1_000, 100_000, 262_144]).unwrap();
            let operation = |index: usize, rng: &mut Rng| match rng.u8(..8) {
                0 => Operation::Delete(format!("/{index}")),
                _ => Operation::Put(format!("/{index}"), vec![0; rng.usize(..=largest)]),
            };
            let operations: Vec<_> = (0..rng.usize(..400)).map(|index| operation(index, &mut rng)).collect();
            let cut = batches(operations.clone());
            let bytes = |batch: &[Operation]| batch.iter().map(Operation::size).sum::<usize>();
            for pair in cut.windows(2) {
                let full = pair[0].len() == MAX_TXN_OPS;
                by_count += usize::from(full);
                by_bytes += usize::from(!full);
                assert!(full || bytes(&pair[0]) + pair[1][0].size() > MAX_TXN_BYTES, "there was room");
            }
            assert!(cut.iter().all(|batch| batch.len() <= MAX_TXN_OPS && bytes(batch) <= MAX_TXN_BYTES));
            assert_eq!(cut.concat(), operations);
        }
        assert!(by_bytes > 200 && by_count > 100, "{by_bytes} cut for bytes, {by_count} for operations");
    }
}
