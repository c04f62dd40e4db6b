//! What etcd says of itself.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Its metrics without labels, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Asks the member at `url`.
    pub(crate) async fn of(url: &str) -> Result<Self> {
        let address = url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (_, body) = answer.split_once("\r\n\r\n").context("etcd answers without a body")?;
        let pair = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(Self(body.lines().filter_map(pair).collect()))
    }

    /// By name; 0 where etcd has none of that name.
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Milliseconds of one observation of a histogram, on average since `before`.
    pub(crate) fn mean_ms(&self, before: &Self, histogram: &str) -> f64 {
        let since = |part: &str| {
            let name = format!("{histogram}_{part}");
            self.get(&name) - before.get(&name)
        };
        if since("count") > 0.0 { since("sum") / since("count") * 1e3 } else { 0.0 }
    }
}
