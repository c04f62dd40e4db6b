//! Real etcd servers on loopback, in the shapes in which Selvedge is run: one, a cluster of three, one behind a `grpc-proxy`.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use etcd_client::{Client, ConnectOptions};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::process::{Process, Usage};

/// What clients talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One member.
    Single,
    /// Three members, all of which clients know.
    Cluster,
    /// One member, which clients know only through `etcd grpc-proxy`.
    Proxy,
    /// One member, and several proxies before it: clients are spread over those.
    Proxies(u8),
}

/// Servers that end with the value, and with the thread that started them.
pub struct Servers {
    shape: Shape,
    members: Vec<Member>,
    proxies: Vec<Process>,
    _directory: TempDir,
}

/// How long servers may take until they answer.
const START_WITHIN: Duration = Duration::from_secs(30);

struct Member {
    name: String,
    client: SocketAddr,
    peer: SocketAddr,
    data: PathBuf,
    server: Option<Process>,
}

/// Runs etcd with `arguments`, its log in `log`.
fn server(arguments: &[String], log: &Path) -> io::Result<Process> {
    Process::start(Path::new("etcd"), arguments, log)
}

impl Servers {
    /// Starts them, and returns when they answer.
    pub async fn start(shape: Shape) -> io::Result<Self> {
        Self::start_in(shape, &std::env::temp_dir()).await
    }

    /// Starts them with their data in a folder of their own in `parent`.
    pub async fn start_in(shape: Shape, parent: &Path) -> io::Result<Self> {
        let directory = tempfile::tempdir_in(parent)?;
        let count = if shape == Shape::Cluster { 3 } else { 1 };
        let members = (0..count).map(|index| {
            let name = format!("member{index}");
            let (client, peer) = (own_address(2379), own_address(2380));
            let data = directory.path().join(&name);
            Member { name, client, peer, data, server: None }
        });
        let members = members.collect();
        let mut servers = Self { shape, members, proxies: Vec::new(), _directory: directory };
        for index in 0..count {
            servers.launch(index)?;
        }
        servers.wait_for_members().await?;
        for number in 0..servers.proxies_wanted() {
            servers.launch_proxy(number).await?;
        }
        Ok(servers)
    }

    /// What clients are told.
    pub fn endpoints(&self) -> Vec<String> {
        match self.proxies_wanted() {
            0 => self.direct(),
            count => (0..count).map(|number| format!("http://{}", self.proxy_address(number))).collect(),
        }
    }

    fn proxies_wanted(&self) -> u8 {
        match self.shape {
            Shape::Single | Shape::Cluster => 0,
            Shape::Proxy => 1,
            Shape::Proxies(count) => count,
        }
    }

    /// The members themselves.
    pub fn direct(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("http://{}", member.client)).collect()
    }

    /// A client of the members themselves.
    pub async fn client(&self) -> Client {
        connect(&self.direct()).await.expect("the members answer")
    }

    /// What they take, all together.
    pub fn usage(&self) -> io::Result<Usage> {
        let servers = self.members.iter().filter_map(|member| member.server.as_ref()).chain(&self.proxies);
        servers.map(Process::usage).sum()
    }

    /// The address of a proxy: that of the member, another port.
    fn proxy_address(&self, number: u8) -> SocketAddr {
        (self.members[0].client.ip(), 23790 + u16::from(number)).into()
    }

    fn launch(&mut self, index: usize) -> io::Result<()> {
        let peers = |member: &Member| format!("{}=http://{}", member.name, member.peer);
        let cluster = self.members.iter().map(peers).collect::<Vec<_>>().join(",");
        let Member { name, client, peer, data, server: running } = &mut self.members[index];
        let arguments = [
            format!("--name={name}"),
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls=http://{client}"),
            format!("--advertise-client-urls=http://{client}"),
            format!("--listen-peer-urls=http://{peer}"),
            format!("--initial-advertise-peer-urls=http://{peer}"),
            format!("--initial-cluster={cluster}"),
            "--heartbeat-interval=100".to_owned(),
            "--election-timeout=1000".to_owned(),
            // A large fabric that changes many times is more than the 2 GiB that etcd has by default.
            format!("--quota-backend-bytes={}", 8_u64 << 30),
            "--log-level=warn".to_owned(),
            "--logger=zap".to_owned(),
        ];
        *running = Some(server(&arguments, &data.with_extension("log"))?);
        Ok(())
    }

    async fn launch_proxy(&mut self, number: u8) -> io::Result<()> {
        let address = self.proxy_address(number);
        let arguments = [
            "grpc-proxy".to_owned(),
            "start".to_owned(),
            format!("--endpoints={}", self.direct().join(",")),
            format!("--listen-addr={address}"),
        ];
        let log = self.members[0].data.with_extension("proxy.log");
        self.proxies.push(server(&arguments, &log)?);
        answers(&[format!("http://{address}")]).await
    }

    async fn wait_for_members(&self) -> io::Result<()> {
        for endpoint in self.direct() {
            answers(&[endpoint]).await?;
        }
        Ok(())
    }

    /// The member that leads the others.
    pub async fn leader(&self) -> usize {
        for (index, endpoint) in self.direct().into_iter().enumerate() {
            let Ok(mut client) = connect(&[endpoint]).await else { continue };
            let Ok(status) = client.status().await else { continue };
            if status.header().is_some_and(|header| header.member_id() == status.leader()) {
                return index;
            }
        }
        panic!("no member leads");
    }

    /// Kills a member at once; its data stays.
    pub fn kill(&mut self, index: usize) {
        self.members[index].server = None;
    }

    /// Starts a member again.
    pub async fn restart(&mut self, index: usize) -> io::Result<()> {
        self.launch(index)?;
        self.wait_for_members().await
    }

    /// Stops a member's process where it is.
    pub fn pause(&self, index: usize) -> io::Result<()> {
        self.members[index].server.as_ref().map_or(Ok(()), |server| server.signal(Signal::SIGSTOP))
    }

    /// Lets it go on.
    pub fn resume(&self, index: usize) -> io::Result<()> {
        self.members[index].server.as_ref().map_or(Ok(()), |server| server.signal(Signal::SIGCONT))
    }

    /// Copies the only member's data, as a backup does; it is down meanwhile.
    pub async fn back_up(&mut self) -> io::Result<Backup> {
        let directory = tempfile::tempdir()?;
        self.kill(0);
        copy(&self.members[0].data, directory.path())?;
        self.restart(0).await?;
        Ok(Backup(directory))
    }

    /// Puts the only member's data back to what they were at `backup`.
    pub async fn restore(&mut self, backup: &Backup) -> io::Result<()> {
        self.kill(0);
        fs::remove_dir_all(&self.members[0].data)?;
        copy(backup.0.path(), &self.members[0].data)?;
        self.restart(0).await
    }
}

/// Data as they once were.
pub struct Backup(TempDir);

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let beside = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &beside)?;
        } else {
            fs::copy(entry.path(), beside)?;
        }
    }
    Ok(())
}

async fn connect(endpoints: &[String]) -> Result<Client, etcd_client::Error> {
    let limit = Duration::from_secs(2);
    Client::connect(endpoints, Some(ConnectOptions::new().with_connect_timeout(limit).with_timeout(limit)))
        .await
}

/// Returns when a key can be read there.
async fn answers(endpoints: &[String]) -> io::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < START_WITHIN {
        if let Ok(mut client) = connect(endpoints).await
            && client.get("/", None).await.is_ok()
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("no etcd answers at {}", endpoints.join(","))))
}

/// Where nobody else is: a loopback address of one's own. A free port that is looked for first may be another's by the time
/// that etcd asks for it.
pub fn own_address(port: u16) -> SocketAddr {
    let [first, second, third, ..] = RandomState::new().build_hasher().finish().to_ne_bytes();
    (Ipv4Addr::new(127, first, second, third.clamp(1, 254)), port).into()
}
