//! TLS for a cluster: certificates, made by the program `openssl`, and who may come in by what.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::Cluster;
use crate::programs::expect_success;

/// An authority that certifies servers and clients of tests.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
}

/// The files of a certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate itself.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes an authority.
    ///
    /// # Panics
    ///
    /// If there is no program `openssl`, or it fails.
    #[must_use]
    pub fn new() -> Authority {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let authority = Authority { folder };
        authority.self_signed("authority", &[]);
        authority
    }

    /// The authority's own certificate, by which others know those that it certified.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.file("authority.crt")
    }

    /// Certifies a server or a client. `names` are what it may be called, such as `DNS:localhost`; `days` is how long it is
    /// valid.
    ///
    /// # Panics
    ///
    /// If `openssl` fails.
    #[must_use]
    pub fn certify(&self, name: &str, names: &str, days: i32) -> Certificate {
        let made = self.named(name);
        let extensions = self.file(&format!("{name}.ext"));
        openssl(
            Command::new("openssl")
                .args(["req", "-new", "-nodes", "-newkey", "ec"])
                .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
                .args(["-subj", &format!("/CN={name}"), "-keyout"])
                .arg(&made.key)
                .arg("-out")
                .arg(self.file(&format!("{name}.csr"))),
        );
        fs::write(
            &extensions,
            format!("basicConstraints=CA:FALSE\nsubjectAltName={names}\n"),
        )
        .expect("the folder is writable");
        self.sign(name, days, &["-extfile".as_ref(), extensions.as_os_str()]);
        made
    }

    /// Makes a certificate of the request that there is.
    fn sign(&self, name: &str, days: i32, more: &[&OsStr]) {
        openssl(
            Command::new("openssl")
                .args(["x509", "-req", "-CAcreateserial"])
                .args(["-days", &days.to_string()])
                .arg("-CA")
                .arg(self.certificate())
                .arg("-CAkey")
                .arg(self.file("authority.key"))
                .args(more)
                .arg("-in")
                .arg(self.file(&format!("{name}.csr")))
                .arg("-out")
                .arg(self.named(name).certificate),
        );
    }

    /// A certificate that says nothing but its commonName, as the older ones of the recipe in PostgreSQL's documentation do:
    /// of version 1, unless `openssl` is a newer one.
    ///
    /// # Panics
    ///
    /// If `openssl` fails.
    #[must_use]
    pub fn certify_plainly(&self, name: &str) -> Certificate {
        let made = self.certify(name, "DNS:localhost", 30);
        self.sign(name, 30, &[]);
        made
    }

    /// A certificate for `localhost` that nobody but itself vouches for.
    ///
    /// # Panics
    ///
    /// If `openssl` fails.
    #[must_use]
    pub fn certify_itself(&self, name: &str) -> Certificate {
        self.self_signed(name, &["-addext", "subjectAltName=DNS:localhost"])
    }

    fn self_signed(&self, name: &str, more: &[&str]) -> Certificate {
        let made = self.named(name);
        openssl(
            Command::new("openssl")
                .args(["req", "-x509", "-nodes", "-days", "30", "-newkey", "ec"])
                .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
                .args(["-subj", &format!("/CN={name}")])
                .args(more)
                .arg("-keyout")
                .arg(&made.key)
                .arg("-out")
                .arg(&made.certificate),
        );
        made
    }

    fn named(&self, name: &str) -> Certificate {
        Certificate {
            certificate: self.file(&format!("{name}.crt")),
            key: self.file(&format!("{name}.key")),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Cluster {
    /// Lets the server speak TLS from now on, with this certificate. Clients may show one of the authority. It is
    /// restarted.
    ///
    /// # Panics
    ///
    /// If its files can't be written, or it doesn't start with them.
    pub fn speak_tls(&self, certificate: &Certificate, authority: &Authority) {
        for (file, content) in [
            ("server.crt", &certificate.certificate),
            ("server.key", &certificate.key),
            ("authority.crt", &authority.certificate()),
        ] {
            self.put(file, &fs::read(content).expect("the file was made"));
        }
        for setting in [
            "ssl_cert_file = 'server.crt'",
            "ssl_key_file = 'server.key'",
            "ssl_ca_file = 'authority.crt'",
            "ssl = on",
        ] {
            self.sql("postgres", &format!("ALTER SYSTEM SET {setting}"));
        }
        self.restart();
    }

    /// Replaces the rules of who may come in by what (`pg_hba.conf`), to which the owner is added by password. The server
    /// is restarted.
    ///
    /// # Panics
    ///
    /// As [`Cluster::speak_tls`] does.
    pub fn admit(&self, rules: &str) {
        let owner = "local all layer scram-sha-256\nhost all layer all scram-sha-256\n";
        self.put("pg_hba.conf", format!("{rules}\n{owner}").as_bytes());
        self.restart();
    }

    /// Writes a file into the folder of data, readable for the server alone.
    fn put(&self, name: &str, content: &[u8]) {
        let path = self.data().join(name);
        fs::write(&path, content).expect("the folder is writable");
        make_private(&path);
        self.programs.own(&path);
    }
}

#[cfg(unix)]
fn make_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;

    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
}

#[cfg(not(unix))]
fn make_private(_: &Path) {}

fn openssl(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("openssl can't be run ({error}); install it (on Debian: apt-get install openssl)")
    });
    expect_success("openssl", &output);
}
