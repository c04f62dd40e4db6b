//! Real etcd servers on loopback, in the shapes in which Selvedge is run: one, a cluster of three, one behind a `grpc-proxy`.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use etcd_client::{Client, ConnectOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// What clients talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One member.
    Single,
    /// Three members, all of which clients know.
    Cluster,
    /// One member, which clients know only through `etcd grpc-proxy`.
    Proxy,
}

/// Servers that end with the value, and with the thread that started them.
pub struct Servers {
    shape: Shape,
    members: Vec<Member>,
    proxy: Option<Server>,
    _directory: TempDir,
}

/// How long servers may take until they answer.
const START_WITHIN: Duration = Duration::from_secs(30);

struct Member {
    name: String,
    client: SocketAddr,
    peer: SocketAddr,
    data: PathBuf,
    server: Option<Server>,
}

/// A process that is killed with the value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Runs etcd with `arguments`, its log in `log`. The kernel kills it with the thread that calls this.
    fn start(arguments: &[String], log: &Path) -> io::Result<Self> {
        let output = fs::File::options().create(true).append(true).open(log)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "etcd"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Self(child))
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.0.id()).map_err(io::Error::other)?;
        Ok(kill(Pid::from_raw(pid), signal)?)
    }
}

impl Servers {
    /// Starts them, and returns when they answer.
    pub async fn start(shape: Shape) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let count = if shape == Shape::Cluster { 3 } else { 1 };
        let members = (0..count).map(|index| {
            let name = format!("member{index}");
            let (client, peer) = (own_address(2379), own_address(2380));
            let data = directory.path().join(&name);
            Member { name, client, peer, data, server: None }
        });
        let members = members.collect();
        let mut servers = Self { shape, members, proxy: None, _directory: directory };
        for index in 0..count {
            servers.launch(index)?;
        }
        servers.wait_for_members().await?;
        if shape == Shape::Proxy {
            servers.launch_proxy().await?;
        }
        Ok(servers)
    }

    /// What clients are told.
    pub fn endpoints(&self) -> Vec<String> {
        match (&self.proxy, self.shape) {
            (Some(_), _) | (None, Shape::Proxy) => vec![format!("http://{}", self.proxy_address())],
            (None, _) => self.direct(),
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

    /// The address of the proxy: that of the member, another port.
    fn proxy_address(&self) -> SocketAddr {
        (self.members[0].client.ip(), 23790).into()
    }

    fn launch(&mut self, index: usize) -> io::Result<()> {
        let peers = |member: &Member| format!("{}=http://{}", member.name, member.peer);
        let cluster = self.members.iter().map(peers).collect::<Vec<_>>().join(",");
        let Member { name, client, peer, data, server } = &mut self.members[index];
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
            "--log-level=warn".to_owned(),
            "--logger=zap".to_owned(),
        ];
        *server = Some(Server::start(&arguments, &data.with_extension("log"))?);
        Ok(())
    }

    async fn launch_proxy(&mut self) -> io::Result<()> {
        let address = self.proxy_address();
        let arguments = [
            "grpc-proxy".to_owned(),
            "start".to_owned(),
            format!("--endpoints={}", self.direct().join(",")),
            format!("--listen-addr={address}"),
        ];
        let log = self.members[0].data.with_extension("proxy.log");
        self.proxy = Some(Server::start(&arguments, &log)?);
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
fn own_address(port: u16) -> SocketAddr {
    let [first, second, third, ..] = RandomState::new().build_hasher().finish().to_ne_bytes();
    (Ipv4Addr::new(127, first, second, third.clamp(1, 254)), port).into()
}
