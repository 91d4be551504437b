//! The deployment's own authority: what clusters' certificates are made and signed by.
//!
//! Its key lies in the catalog, under the master key, so that all nodes have the same one.
//! It does not know how a server is given a certificate; the engine does.
use std::{error::Error, fmt, fs, path::PathBuf, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use catalog::{Catalog, CatalogError, CatalogExt, Tx, meta};
use data_encoding::HEXLOWER;
use engine::{Certifier, Home, Identity, Tls};
use kms::{MasterKey, OpenError};
use model::{Clock, Entropy, SystemEntropy, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::settings::ClusterTls;

/// What the API calls the authority's certificate.
pub const IDENTIFIER: &str = "snapferry-ca";
/// What the key is sealed for.
const PURPOSE: &str = "cluster-authority";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the authority's certificate is good: clients are given it once.
const AUTHORITY_LIFE: Duration = Duration::from_secs(20 * 365 * DAY.as_secs());
/// How long a cluster's certificate is good.
const LIFE: Duration = Duration::from_secs(365 * DAY.as_secs());
/// A certificate with less than this left is replaced.
const LEFT_MIN: Duration = Duration::from_secs(120 * DAY.as_secs());

/// Why there is no authority, or no certificate of it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The catalog fails.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The key does not open.
    #[error("the key of the clusters' authority does not open with the master key")]
    Sealed(#[from] OpenError),
    /// The record does not read.
    #[error("the record of the clusters' authority does not read")]
    Damaged(#[from] serde_json::Error),
    /// A certificate or key cannot be made or read.
    #[error("a certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// The certificate does not read.
    #[error("the certificate of the clusters' authority does not read")]
    Unreadable,
}

/// The authority as the catalog has it.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// What tells it from others.
    mark: String,
    certificate: String,
    /// Hexadecimal.
    sealed_key: String,
}

/// Makes and signs clusters' certificates.
struct Authority {
    mark: String,
    issuer: Issuer<'static, KeyPair>,
    /// Names that clients reach clusters by, beside their addresses.
    names: Vec<String>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("mark", &self.mark)
            .finish_non_exhaustive()
    }
}

/// How this deployment's clusters speak TLS; its authority is made when there is none.
///
/// # Errors
/// [`AuthorityError`].
pub async fn tls(
    catalog: &dyn Catalog,
    master_key: &MasterKey,
    clock: Arc<dyn Clock>,
    settings: &ClusterTls,
) -> Result<Tls, AuthorityError> {
    let authority = open(catalog, master_key, clock, settings.names.clone()).await?;
    let certifier: Arc<dyn Certifier> = match &settings.given {
        Some((certificate, key)) => Arc::new(Given {
            certificate: certificate.clone(),
            key: key.clone(),
        }),
        None => Arc::new(authority),
    };
    Ok(Tls {
        certifier,
        forced: settings.forced,
    })
}

/// The authority's certificate, PEM; none when no server was started yet.
///
/// # Errors
/// The catalog's; a record that does not read.
pub async fn certificate(catalog: &dyn Catalog) -> Result<Option<String>, AuthorityError> {
    let kept = catalog
        .read(|tx| meta::get(tx, meta::CLUSTER_AUTHORITY))
        .await?;
    let kept = kept
        .map(|text| serde_json::from_str::<Kept>(&text))
        .transpose()?;
    Ok(kept.map(|kept| kept.certificate))
}

/// What the authority's certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// SHA-1 over it, hexadecimal, as RDS has it.
    pub thumbprint: String,
    /// From when it is good.
    pub from: Timestamp,
    /// Until when.
    pub till: Timestamp,
}

/// What the authority's certificate says; none when no server was started yet.
///
/// # Errors
/// As [`certificate`]; one that is none.
pub async fn facts(catalog: &dyn Catalog) -> Result<Option<Facts>, AuthorityError> {
    certificate(catalog)
        .await?
        .map(|pem| facts_of(&pem))
        .transpose()
}

fn facts_of(pem: &str) -> Result<Facts, AuthorityError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes());
    let der = der.map_err(|_| AuthorityError::Unreadable)?;
    let (from, till) = validity(&der).map_err(|_| AuthorityError::Unreadable)?;
    let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &der);
    Ok(Facts {
        thumbprint: HEXLOWER.encode(sha1.as_ref()),
        from,
        till,
    })
}

/// Until when a certificate is good; none when it does not read.
pub fn not_after(der: &[u8]) -> Option<Timestamp> {
    validity(der).ok().map(|(_, till)| till)
}

/// From when and until when a certificate is good (RFC 5280, 4.1).
fn validity(der: &[u8]) -> yasna::ASN1Result<(Timestamp, Timestamp)> {
    let rest = |fields: &mut yasna::BERReaderSeq<'_, '_>, count| {
        (0..count).try_for_each(|_| fields.next().read_der().map(drop))
    };
    let period = |fields: &mut yasna::BERReaderSeq<'_, '_>| {
        Ok((moment(fields.next())?, moment(fields.next())?))
    };
    yasna::parse_der(der, |certificate| {
        certificate.read_sequence(|parts| {
            let found = parts.next().read_sequence(|fields| {
                // Version, serial number, signature, issuer; then subject, key, extensions.
                rest(fields, 4)?;
                let found = fields.next().read_sequence(period)?;
                rest(fields, 3)?;
                Ok(found)
            })?;
            // The signature's algorithm, and the signature.
            rest(parts, 2)?;
            Ok(found)
        })
    })
}

fn moment(field: yasna::BERReader<'_, '_>) -> yasna::ASN1Result<Timestamp> {
    let secs = match field.lookahead_tag()? {
        yasna::tags::TAG_UTCTIME => field.read_utctime()?.datetime().unix_timestamp(),
        _ => field.read_generalized_time()?.datetime().unix_timestamp(),
    };
    Ok(Timestamp(secs.saturating_mul(1_000_000)))
}

async fn open(
    catalog: &dyn Catalog,
    master_key: &MasterKey,
    clock: Arc<dyn Clock>,
    names: Vec<String>,
) -> Result<Authority, AuthorityError> {
    let found = catalog
        .read(|tx| meta::get(tx, meta::CLUSTER_AUTHORITY))
        .await?;
    let text = match found {
        Some(text) => text,
        None => {
            // Another node may be first: its authority counts.
            let made = make(master_key, clock.now())?;
            catalog
                .write(move |tx| meta::get_or_set(tx, meta::CLUSTER_AUTHORITY, &made))
                .await?
        }
    };
    let kept: Kept = serde_json::from_str(&text)?;
    let key = master_key.open(PURPOSE, &kept.mark, &unsealed(&kept.sealed_key))?;
    let key = KeyPair::from_pem(&String::from_utf8_lossy(&key))?;
    Ok(Authority {
        issuer: Issuer::new(of_authority(&kept.mark), key),
        mark: kept.mark,
        names,
        clock,
    })
}

/// What is no hexadecimal does not open either.
fn unsealed(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap_or_default()
}

fn make(master_key: &MasterKey, now: Timestamp) -> Result<String, AuthorityError> {
    let mark = SystemEntropy.uuid().simple().to_string();
    let key = KeyPair::generate()?;
    let mut params = of_authority(&mark);
    last(&mut params, now, AUTHORITY_LIFE);
    let pem = Zeroizing::new(key.serialize_pem());
    let kept = Kept {
        certificate: params.self_signed(&key)?.pem(),
        sealed_key: HEXLOWER.encode(&master_key.seal(PURPOSE, &mark, pem.as_bytes())),
        mark,
    };
    Ok(serde_json::to_string(&kept)?)
}

/// Seals the authority's key anew; answers whether there is one.
///
/// # Errors
/// [`AuthorityError`].
pub fn reencrypt(tx: &mut dyn Tx, master_key: &MasterKey) -> Result<bool, AuthorityError> {
    let Some(text) = meta::get(tx, meta::CLUSTER_AUTHORITY)? else {
        return Ok(false);
    };
    let mut kept: Kept = serde_json::from_str(&text)?;
    let key = master_key.open(PURPOSE, &kept.mark, &unsealed(&kept.sealed_key))?;
    kept.sealed_key = HEXLOWER.encode(&master_key.seal(PURPOSE, &kept.mark, &key));
    meta::set(tx, meta::CLUSTER_AUTHORITY, &serde_json::to_string(&kept)?)?;
    Ok(true)
}

fn of_authority(mark: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Snapferry clusters {mark}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// From a day ago, for clients whose clock is behind, until `life` from now.
fn last(params: &mut CertificateParams, now: Timestamp, life: Duration) {
    let at = |moment: Timestamp| {
        let secs = u64::try_from(moment.seconds()).unwrap_or_default();
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(secs)
    };
    params.not_before = at(now.minus(DAY));
    params.not_after = at(now.plus(life));
}

impl Authority {
    /// The first line of a certificate's file, up to its end's second: who made it, for which names.
    fn head(&self, names: &[String]) -> String {
        format!("# snapferry {} {} until ", self.mark, names.join(","))
    }

    fn is_good(&self, shown: &str, head: &str) -> bool {
        let until = shown
            .lines()
            .next()
            .and_then(|line| line.strip_prefix(head)?.parse::<i64>().ok());
        until.is_some_and(|until| self.clock.now().plus(LEFT_MIN).seconds() < until)
    }
}

impl Certifier for Authority {
    fn identity(
        &self,
        home: &Home,
        shown: Option<&str>,
    ) -> Result<Option<Identity>, Box<dyn Error + Send + Sync>> {
        let names: Vec<String> = std::iter::once(&home.host)
            .chain(&self.names)
            .cloned()
            .collect();
        let head = self.head(&names);
        if shown.is_some_and(|shown| self.is_good(shown, &head)) {
            return Ok(None);
        }
        let now = self.clock.now();
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, home.host.clone());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        last(&mut params, now, LIFE);
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        let until = now.plus(LIFE).seconds();
        Ok(Some(Identity {
            certificate: format!("{head}{until}\n{certificate}"),
            key: Zeroizing::new(key.serialize_pem()),
        }))
    }
}

/// A certificate that the operator gives for all clusters, and renews in place.
#[derive(Debug)]
struct Given {
    certificate: PathBuf,
    key: PathBuf,
}

impl Certifier for Given {
    fn identity(
        &self,
        _: &Home,
        shown: Option<&str>,
    ) -> Result<Option<Identity>, Box<dyn Error + Send + Sync>> {
        let certificate = fs::read_to_string(&self.certificate)?;
        if shown == Some(certificate.as_str()) {
            return Ok(None);
        }
        let key = Zeroizing::new(fs::read_to_string(&self.key)?);
        Ok(Some(Identity { certificate, key }))
    }
}

#[cfg(test)]
mod tests {
    use model::SystemClock;

    use super::*;

    #[derive(Debug)]
    struct At(Timestamp);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    fn authority(kept: &str, master_key: &MasterKey, now: Timestamp, names: &[&str]) -> Authority {
        let kept: Kept = serde_json::from_str(kept).expect("reads");
        let key = master_key
            .open(PURPOSE, &kept.mark, &unsealed(&kept.sealed_key))
            .expect("opens");
        let key = KeyPair::from_pem(std::str::from_utf8(&key).expect("text")).expect("a key");
        Authority {
            issuer: Issuer::new(of_authority(&kept.mark), key),
            mark: kept.mark,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            clock: Arc::new(At(now)),
        }
    }

    #[test]
    fn the_authoritys_certificate_says_how_long_it_is_good() {
        let now = Timestamp(1_800_000_000_000_000);
        let kept = make(&MasterKey::generate(), now).expect("made");
        let kept: Kept = serde_json::from_str(&kept).expect("reads");
        let facts = facts_of(&kept.certificate).expect("a certificate");
        assert_eq!(
            (facts.from, facts.till),
            (now.minus(DAY), now.plus(AUTHORITY_LIFE))
        );
        assert_eq!(facts.thumbprint.len(), 40);
        assert!(facts_of("none").is_err());
    }

    #[test]
    fn a_certificate_is_replaced_before_its_end_and_when_it_is_for_other_names() {
        let master_key = MasterKey::generate();
        let now = SystemClock.now();
        let kept = make(&master_key, now).expect("made");
        assert!(!kept.contains("PRIVATE"));
        let home = Home {
            dir: "/d".into(),
            socket_dir: "/s".into(),
            host: "127.64.0.9".to_owned(),
            port: 5_432,
            os_uid: None,
            os_uid_shared: false,
            version: "15.1".to_owned(),
            replication: Default::default(),
        };
        let ask = |now, names: &[&str], shown: Option<&str>| {
            authority(&kept, &master_key, now, names)
                .identity(&home, shown)
                .expect("answers")
        };
        let first = ask(now, &[], None).expect("the first");
        let shown = Some(first.certificate.as_str());
        assert_eq!(ask(now, &[], shown), None);
        assert_eq!(ask(now.plus(244 * DAY), &[], shown), None);
        assert!(ask(now.plus(246 * DAY), &[], shown).is_some());
        assert!(ask(now, &["db.example.net"], shown).is_some());
        let other = make(&master_key, now).expect("made");
        let other = authority(&other, &master_key, now, &[]);
        assert!(other.identity(&home, shown).expect("answers").is_some());
    }
}
