//! TLS to PostgreSQL: who has to prove what.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_platform_verifier::Verifier;
use tokio_postgres_rustls::MakeRustlsConnect;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

use super::url::{Identity, Postgres, Roots, SslMode};

/// Why TLS can't be set up as the URL says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("the URL's {parameter}, {}, can't be read as PEM", .path.display())]
    File {
        parameter: &'static str,
        path: PathBuf,
        source: pem::Error,
    },
    #[error("the URL's {parameter}, {}, has no {content} in PEM", .path.display())]
    Empty {
        parameter: &'static str,
        content: &'static str,
        path: PathBuf,
    },
    #[error("a certificate in the URL's sslrootcert, {}, can't be used", .path.display())]
    Root {
        path: PathBuf,
        source: rustls::Error,
    },
    #[error(
        "the authorities that the system trusts can't be told; give one's certificate as sslrootcert"
    )]
    System(#[source] rustls::Error),
    #[error("the URL's sslcert and sslkey can't be used together")]
    Identity(#[source] rustls::Error),
    #[error("the library of TLS takes no version of it")]
    Versions(#[source] rustls::Error),
}

/// How connections are encrypted; `None` if they aren't. Reads the files that the URL names.
pub(super) fn connector(
    postgres: &Postgres,
    mode: SslMode,
) -> Result<Option<MakeRustlsConnect>, TlsError> {
    // The one that the clients of HTTP use, too. The program may have chosen another for itself.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let of_file = |trusted: Option<Trusted>| -> Arc<dyn ServerCertVerifier> {
        Arc::new(Check {
            trusted,
            provider: Arc::clone(&provider),
        })
    };
    let verifier = match (mode, &postgres.roots) {
        (SslMode::Disable, _) => return Ok(None),
        (SslMode::Prefer, _) | (SslMode::Require, None) => of_file(None),
        (SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull, Some(Roots::File(path))) => {
            of_file(Some(Trusted::read(path, mode == SslMode::VerifyFull)?))
        }
        // The system's authorities go with `verify-full` only, which is seen to where the URL is read.
        (SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull, _) => {
            Arc::new(Verifier::new(Arc::clone(&provider)).map_err(TlsError::System)?)
        }
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &postgres.identity {
        Some(identity) => {
            let (certificates, key) = read_identity(identity)?;
            builder
                .with_client_auth_cert(certificates, key)
                .map_err(TlsError::Identity)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Some(MakeRustlsConnect::new(config)))
}

fn read_identity(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let certificates = read_certificates(&identity.certificate, "sslcert")?;
    let path = &identity.key;
    let wrong = |error| unreadable(error, path, "sslkey", "private key without a passphrase");
    let key = PrivateKeyDer::from_pem_file(path).map_err(wrong)?;
    Ok((certificates, key))
}

fn read_certificates(
    path: &Path,
    parameter: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|certificates| match certificates.len() {
            0 => Err(pem::Error::NoItemsFound),
            _ => Ok(certificates),
        })
        .map_err(|error| unreadable(error, path, parameter, "certificate"))
}

fn unreadable(
    source: pem::Error,
    path: &Path,
    parameter: &'static str,
    content: &'static str,
) -> TlsError {
    let path = path.to_owned();
    match source {
        pem::Error::NoItemsFound => TlsError::Empty {
            parameter,
            content,
            path,
        },
        source => TlsError::File {
            parameter,
            path,
            source,
        },
    }
}

/// Looks at the certificate of a server. The server has to have the certificate's key even if any is taken: a password that
/// is bound to the channel is bound to it.
#[derive(Debug)]
struct Check {
    /// `None` takes any certificate, which keeps out who reads along, and not who stands between.
    trusted: Option<Trusted>,
    provider: Arc<CryptoProvider>,
}

/// What is trusted where the URL names a file.
#[derive(Debug)]
struct Trusted {
    certificates: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
    /// Whether the certificate has to name the host.
    names: bool,
}

impl Trusted {
    fn read(path: &Path, names: bool) -> Result<Trusted, TlsError> {
        let certificates = read_certificates(path, "sslrootcert")?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|source| TlsError::Root {
                    path: path.to_owned(),
                    source,
                })?;
        }
        Ok(Trusted {
            certificates,
            roots,
            names,
        })
    }
}

impl ServerCertVerifier for Check {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(trusted) = &self.trusted else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let signed = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &trusted.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        );
        match signed {
            Ok(()) => {}
            // Most tools make a certificate that signs itself one of an authority, which webpki doesn't take from a
            // server. It finds that out after it has looked at the dates.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if trusted.certificates.contains(end_entity) => {}
            Err(error) => return Err(error),
        }
        if trusted.names {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        if self.trusted.is_some() {
            return verify_tls13_signature(message, certificate, signature, algorithms);
        }
        // Where only the key counts, a certificate may be of version 1, as the recipe in PostgreSQL's documentation makes
        // it with an older openssl. The library reads none but those of version 3.
        let certificate = Certificate::from_der(certificate);
        let key =
            certificate.and_then(|read| read.tbs_certificate.subject_public_key_info.to_der());
        let key = key.map_err(|_| CertificateError::BadEncoding)?;
        verify_tls13_signature_with_raw_key(message, &key.into(), signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
