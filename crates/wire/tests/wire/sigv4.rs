//! Signatures that others made, and the properties that ours must have.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use wire::{
    RawRequest,
    sigv4::{self, AuthCode, AuthFault, Claim, Form, Scope, Signer, SigningKey},
};

const CAPTURED_SECRET: &str = "secret";
const SUITE_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// 20150830T123600Z.
const SUITE_TIME: i64 = 1_440_938_160;

fn request(method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> RawRequest {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    RawRequest {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: map,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn claim(request: &RawRequest) -> Result<Claim, AuthFault> {
    sigv4::read(request).map(|claim| claim.expect("signed in one of the forms"))
}

fn check(request: &RawRequest, secret: &str, now_secs: i64) -> Result<(), AuthFault> {
    let claim = claim(request)?;
    let key = SigningKey::derive(secret, &claim.scope);
    claim.verify(request, Some(&key), now_secs)
}

fn at_its_time(request: &RawRequest, secret: &str) -> Result<(), AuthFault> {
    let now_secs = claim(request)?.signed_at_secs;
    check(request, secret, now_secs)
}

/// What boto3 sent to a server on 127.0.0.1:9000.
fn captured(service: &str, date: &str, body: &str, signature: &str) -> RawRequest {
    let day = &date[..8];
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{day}/us-east-1/{service}/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
    );
    let headers = [
        ("Host", "127.0.0.1:9000"),
        ("Content-Type", FORM),
        ("X-Amz-Date", date),
        ("amz-sdk-request", "attempt=1"),
        ("User-Agent", "Boto3"),
        ("Authorization", &authorization),
    ];
    request(Method::POST, "/", &headers, body)
}

fn captured_copy() -> RawRequest {
    captured(
        "rds",
        "20261123T035530Z",
        "Action=CopyDBClusterSnapshot&Version=2014-10-31\
         &SourceDBClusterSnapshotIdentifier=rds%3As1-2020&TargetDBClusterSnapshotIdentifier=t1",
        "9c83139876eb55593737926f2eb704b1a476f98d93cd96feff16549bf6cf4155",
    )
}

const PRESIGNED: &str = "https://rds.us-east-1.amazonaws.com/?Action=CopyDBClusterSnapshot\
    &Version=2014-10-31&SourceDBClusterSnapshotIdentifier=arn%3Aaws%3Ards%3Aus-east-1\
    %3A123456789012%3Acluster-snapshot%3As1&TargetDBClusterSnapshotIdentifier=t1\
    &KmsKeyId=alias%2Fx&CopyTags=true&Tags.Tag.1.Key=a%20b&Tags.Tag.1.Value=v1\
    &Tags.Tag.2.Key=k2&Tags.Tag.2.Value=&DestinationRegion=us-west-2\
    &X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=AKIDEXAMPLE%2F20261123%2Fus-east-1%2Frds%2Faws4_request\
    &X-Amz-Date=20261123T035530Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=0a455cd4bb24cd4f73fde6c6ccb89d4d364d77f344e7e2f45e634d131d3a2a61";

#[test]
fn requests_of_boto3_are_verified() {
    let identity = captured(
        "sts",
        "20261123T035938Z",
        "Action=GetCallerIdentity&Version=2011-06-15",
        "f1d8a9593f119ba8cac1abbf755bbc88c59d756d54cf8338d282959693eeb001",
    );
    for request in [identity, captured_copy()] {
        assert_eq!(at_its_time(&request, CAPTURED_SECRET), Ok(()));
        assert_eq!(
            at_its_time(&request, "Secret"),
            Err(AuthFault::SignatureDoesNotMatch)
        );
    }
}

#[test]
fn a_presigned_url_of_boto3_is_verified() {
    let request = sigv4::url(PRESIGNED).unwrap();
    let claim = claim(&request).unwrap();
    assert_eq!(
        claim.form,
        Form::Presigned {
            expires_secs: 3_600
        }
    );
    assert_eq!(claim.access_key_id, "AKIDEXAMPLE");
    assert_eq!(
        claim.scope,
        Scope::at(claim.signed_at_secs, "us-east-1", "rds").unwrap()
    );
    let end = claim.signed_at_secs + 3_600;
    assert_eq!(check(&request, CAPTURED_SECRET, end), Ok(()));
    let expired = check(&request, CAPTURED_SECRET, end + 1).unwrap_err();
    assert_eq!(
        expired.message(),
        "Signature expired: 20261123T045530Z is now earlier than 20261123T045531Z"
    );
    let changed = sigv4::url(&PRESIGNED.replace("=t1", "=t2")).unwrap();
    assert_eq!(
        at_its_time(&changed, CAPTURED_SECRET),
        Err(AuthFault::SignatureDoesNotMatch)
    );
}

/// AWS's published SigV4 test suite: name, method, target, further headers, body, signature.
type SuiteCase<'a> = (
    &'a str,
    Method,
    &'a str,
    &'a [(&'a str, &'a str)],
    &'a str,
    &'a str,
);

const SUITE: &[SuiteCase<'_>] = &[
    (
        "get-vanilla",
        Method::GET,
        "/",
        &[],
        "",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-vanilla-query-order-key-case",
        Method::GET,
        "/?Param2=value2&Param1=value1",
        &[],
        "",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "get-utf8",
        Method::GET,
        "/ሴ",
        &[],
        "",
        "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
    ),
    (
        "get-slashes",
        Method::GET,
        "//example//",
        &[],
        "",
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    (
        "get-header-value-trim",
        Method::GET,
        "/",
        &[("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")],
        "",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    (
        "post-vanilla",
        Method::POST,
        "/",
        &[],
        "",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    (
        "post-x-www-form-urlencoded",
        Method::POST,
        "/",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        "Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
];

#[test]
fn the_published_suite_holds() {
    let signer = Signer {
        access_key_id: "AKIDEXAMPLE",
        secret: SUITE_SECRET,
        security_token: None,
        region: "us-east-1",
        service: "service",
    };
    for (name, method, target, headers, body, signature) in SUITE {
        let mut all = vec![("Host", "example.amazonaws.com")];
        all.extend_from_slice(headers);
        let mut request = request(method.clone(), target, &all, body);
        let added = signer.sign_header(&request, SUITE_TIME).unwrap();
        let authorization = added["authorization"].to_str().unwrap();
        assert!(
            authorization.ends_with(signature),
            "{name}: {authorization}"
        );
        request.headers.extend(added);
        assert_eq!(check(&request, SUITE_SECRET, SUITE_TIME), Ok(()), "{name}");
    }
}

#[test]
fn time_is_checked_on_both_sides() {
    let request = captured_copy();
    let at = claim(&request).unwrap().signed_at_secs;
    assert_eq!(check(&request, CAPTURED_SECRET, at + 900), Ok(()));
    assert_eq!(check(&request, CAPTURED_SECRET, at - 900), Ok(()));
    let late = check(&request, CAPTURED_SECRET, at + 901).unwrap_err();
    assert_eq!(
        (late.code(), late.message().as_str()),
        (
            AuthCode::SignatureDoesNotMatch,
            "Signature expired: 20261123T035530Z is now earlier than 20261123T035531Z \
             (20261123T041031Z - 15 min.)"
        )
    );
    let early = check(&request, CAPTURED_SECRET, at - 901).unwrap_err();
    assert_eq!(
        early.message(),
        "Signature not yet current: 20261123T035530Z is still later than 20261123T035529Z \
         (20261123T034029Z + 15 min.)"
    );
    assert!(check(&request, CAPTURED_SECRET, i64::MAX).is_err());
    assert!(check(&request, CAPTURED_SECRET, i64::MIN).is_err());
}

#[test]
fn an_unknown_key_is_told_so_whatever_the_signature() {
    let request = captured_copy();
    let claim = claim(&request).unwrap();
    let fault = claim
        .verify(&request, None, claim.signed_at_secs)
        .unwrap_err();
    assert_eq!(fault, AuthFault::InvalidClientTokenId);
    assert_eq!(fault.code(), AuthCode::InvalidClientTokenId);
}

#[test]
fn an_unsigned_request_claims_nothing() {
    let plain = request(
        Method::POST,
        "/?Action=A",
        &[("Host", "a"), ("X-Amz-Date", "x")],
        "",
    );
    assert!(sigv4::read(&plain).unwrap().is_none());
    assert!(sigv4::credential_hint(&plain).is_none());
    let fault = AuthFault::MissingAuthenticationToken;
    assert_eq!(fault.message(), "Request is missing Authentication Token");
}

#[track_caller]
fn refused(request: &RawRequest, code: AuthCode, text: &str) {
    let fault = claim(request).unwrap_err();
    assert_eq!(fault.code(), code, "{}", fault.message());
    assert!(fault.message().contains(text), "{}", fault.message());
}

fn with(change: impl FnOnce(&mut RawRequest)) -> RawRequest {
    let mut request = captured_copy();
    change(&mut request);
    request
}

fn with_authorization(from: &str, to: &str) -> RawRequest {
    with(|request| {
        let text = request.headers["authorization"]
            .to_str()
            .unwrap()
            .replace(from, to);
        request
            .headers
            .insert("authorization", text.parse().unwrap());
    })
}

#[test]
fn malformed_headers_are_refused_in_words() {
    let (incomplete, unfit) = (
        AuthCode::IncompleteSignature,
        AuthCode::SignatureDoesNotMatch,
    );
    for (from, to, code, text) in [
        ("AWS4-HMAC-SHA256", "Basic", incomplete, "'Basic'"),
        (
            "Credential=",
            "Credentials=",
            incomplete,
            "unknown parameter",
        ),
        (
            "Signature=9",
            "Signature9",
            incomplete,
            "missing equal-sign",
        ),
        (
            ", Signature=9c",
            ", Signature=9C",
            incomplete,
            "64 lower-case",
        ),
        ("155", "15", incomplete, "64 lower-case"),
        ("/rds/", "/", incomplete, "5 slash-delimited"),
        ("/rds/", "//", incomplete, "5 slash-delimited"),
        ("/20261123/", "/2026-11-/", incomplete, "5 slash-delimited"),
        ("aws4_request", "aws5_request", unfit, "valid terminator"),
        (
            "/20261123/",
            "/20261124/",
            unfit,
            "'20261124' != '20261123'",
        ),
        ("content-type;host", "content-type", unfit, "'Host' must"),
        (";x-amz-date", "", unfit, "'x-amz-date' must"),
        (
            "content-type;host",
            "host;content-type",
            incomplete,
            "rising order",
        ),
        (
            "content-type;host",
            "content-type;host;host",
            incomplete,
            "rising order",
        ),
        (
            "content-type;host",
            "Content-Type;host",
            incomplete,
            "rising order",
        ),
        (
            ", SignedHeaders",
            ", Credential=x, SignedHeaders",
            incomplete,
            "twice",
        ),
    ] {
        refused(&with_authorization(from, to), code, text);
    }
    for part in ["Credential", "SignedHeaders", "Signature"] {
        let text = format!("requires '{part}'");
        let gone = with(|request| {
            let text = request.headers["authorization"].to_str().unwrap();
            let (algorithm, parts) = text.split_once(' ').unwrap();
            let needle = format!("{part}=");
            let kept: Vec<&str> = parts
                .split(", ")
                .filter(|text| !text.starts_with(&needle))
                .collect();
            let value = format!("{algorithm} {}", kept.join(","));
            request
                .headers
                .insert("authorization", value.parse().unwrap());
        });
        refused(&gone, incomplete, &text);
    }
}

#[test]
fn what_is_there_twice_is_refused() {
    for name in [
        "authorization",
        "x-amz-date",
        "host",
        "x-amz-security-token",
    ] {
        let twice = with(|request| {
            let value = HeaderValue::from_static("20261123T035530Z");
            request.headers.append(name, value.clone());
            request.headers.append(name, value);
        });
        refused(&twice, AuthCode::IncompleteSignature, "twice");
    }
    for name in [
        "Algorithm",
        "Credential",
        "Date",
        "Expires",
        "SignedHeaders",
        "Signature",
    ] {
        let twice = sigv4::url(&format!("{PRESIGNED}&X-Amz-{name}=1")).unwrap();
        refused(&twice, AuthCode::IncompleteSignature, "twice");
        let gone = sigv4::url(&PRESIGNED.replace(&format!("X-Amz-{name}="), "a=")).unwrap();
        refused(&gone, AuthCode::IncompleteSignature, name);
    }
    let mut token = sigv4::url(PRESIGNED).unwrap();
    let value = HeaderValue::from_static("t");
    token.headers.insert("x-amz-security-token", value);
    refused(&token, AuthCode::IncompleteSignature, "in the query string");
    let both = with(|request| request.query = "X-Amz-Signature=1".to_owned());
    refused(&both, AuthCode::IncompleteSignature, "both");
    let escaped = with(|request| request.query = "X%2DAmz-Signature=1".to_owned());
    refused(&escaped, AuthCode::IncompleteSignature, "both");
}

#[test]
fn headers_and_hashes_must_fit() {
    let unsigned = with(|request| {
        request
            .headers
            .insert("x-amz-target", HeaderValue::from_static("T.O"));
    });
    refused(
        &unsigned,
        AuthCode::SignatureDoesNotMatch,
        "'x-amz-target' must",
    );
    let hostless = with(|request| drop(request.headers.remove("host")));
    refused(&hostless, AuthCode::SignatureDoesNotMatch, "'Host' must");
    let dateless = with(|request| drop(request.headers.remove("x-amz-date")));
    refused(&dateless, AuthCode::IncompleteSignature, "'X-Amz-Date'");
    let odd = with(|request| {
        request
            .headers
            .insert("x-amz-date", HeaderValue::from_static("Mon, 23 Nov 2026"));
    });
    refused(&odd, AuthCode::IncompleteSignature, "ISO-8601");
    let absent = with(|request| drop(request.headers.remove("content-type")));
    let fault = at_its_time(&absent, CAPTURED_SECRET).unwrap_err();
    assert!(
        fault.message().contains("'content-type' is named"),
        "{fault}"
    );
    for hash in ["UNSIGNED-PAYLOAD", "", "0"] {
        let wrong = with(|request| {
            request
                .headers
                .insert("x-amz-content-sha256", hash.parse().unwrap());
            let text = request.headers["authorization"].to_str().unwrap();
            let text = text.replace("host;x", "host;x-amz-content-sha256;x");
            request
                .headers
                .insert("authorization", text.parse().unwrap());
        });
        refused(
            &wrong,
            AuthCode::SignatureDoesNotMatch,
            "x-amz-content-sha256",
        );
    }
    for expires in ["0", "604801", "+60", "", "x", "99999999999"] {
        let text = PRESIGNED.replace("Expires=3600", &format!("Expires={expires}"));
        let wrong = sigv4::url(&text).unwrap();
        refused(&wrong, AuthCode::IncompleteSignature, "X-Amz-Expires");
    }
}

#[test]
fn a_hint_needs_no_proof() {
    let (id, scope) = sigv4::credential_hint(&captured_copy()).unwrap();
    assert_eq!(
        (id.as_str(), scope.unwrap().service.as_str()),
        ("AKIDEXAMPLE", "rds")
    );
    let (id, scope) = sigv4::credential_hint(&sigv4::url(PRESIGNED).unwrap()).unwrap();
    assert_eq!(
        (id.as_str(), scope.unwrap().region.as_str()),
        ("AKIDEXAMPLE", "us-east-1")
    );
    let odd = with_authorization(
        "AKIDEXAMPLE/20261123/us-east-1/rds/aws4_request",
        "111122223333",
    );
    assert_eq!(
        sigv4::credential_hint(&odd),
        Some(("111122223333".to_owned(), None))
    );
}

/// Text of a query value, a header value or a body.
const TEXT: &str = "[ -~éሴ]{0,12}";

prop_compose! {
    fn a_request()(
        method in prop::sample::select(vec![Method::GET, Method::POST, Method::PUT]),
        path in "(/[a-zA-Z0-9%_~ é+=:@]{1,6}){0,3}/?",
        names in prop::collection::vec("[a-zA-Z0-9_.-]{1,8}", 0..4),
        value in "[a-zA-Z0-9+*/:~._-]{0,8}",
        header in "[!-~]{1,5}( {1,3}[!-~]{1,5}){0,2}",
        body in TEXT,
    ) -> RawRequest {
        let query: Vec<String> = names.iter().map(|name| format!("{name}={value}")).collect();
        let mut request = request(
            method,
            "/",
            &[("host", "localhost:8085"), ("x-amz-meta", &header), ("content-type", FORM)],
            &body,
        );
        request.path = format!("/{}", path.trim_start_matches('/'));
        request.query = query.join("&");
        request
    }
}

const SIGNER: Signer<'_> = Signer {
    access_key_id: "AKIAEXAMPLE",
    secret: CAPTURED_SECRET,
    security_token: Some("a token"),
    region: "eu-central-1",
    service: "rds",
};

fn signed(request: &RawRequest) -> RawRequest {
    let mut signed = request.clone();
    signed
        .headers
        .extend(SIGNER.sign_header(request, SUITE_TIME).unwrap());
    signed
}

fn presigned(request: &RawRequest) -> RawRequest {
    let mut signed = request.clone();
    signed.query = SIGNER.presign(request, SUITE_TIME, 60).unwrap();
    signed
}

/// Another letter in the place of the letter or digit number `pick`; none without one.
fn bent(text: &str, pick: usize) -> Option<String> {
    let places: Vec<usize> = text
        .bytes()
        .enumerate()
        .filter(|(at, byte)| {
            // A letter inside an escape changes the escape, which is another test's matter.
            byte.is_ascii_alphanumeric() && !text[..*at].bytes().rev().take(2).any(|b| b == b'%')
        })
        .map(|(at, _)| at)
        .collect();
    let at = *places.get(pick.checked_rem(places.len())?)?;
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'q' { b'Q' } else { b'q' };
    String::from_utf8(bytes).ok()
}

fn is_refused(request: &RawRequest) -> bool {
    check(request, CAPTURED_SECRET, SUITE_TIME).is_err()
}

proptest! {
    #[test]
    fn what_is_signed_is_verified(request in a_request()) {
        for signed in [signed(&request), presigned(&request)] {
            let claim = claim(&signed).unwrap();
            prop_assert_eq!(claim.security_token.as_deref(), Some("a token"));
            prop_assert_eq!(check(&signed, CAPTURED_SECRET, SUITE_TIME), Ok(()));
            prop_assert!(check(&signed, "Secret", SUITE_TIME).is_err());
        }
    }

    #[test]
    fn whatever_changes_is_noticed(request in a_request(), pick in 0..100_usize) {
        for good in [signed(&request), presigned(&request)] {
            let mut bad = good.clone();
            bad.method = Method::DELETE;
            prop_assert!(is_refused(&bad));
            if let Some(path) = bent(&good.path, pick) {
                let bad = RawRequest { path, ..good.clone() };
                prop_assert!(is_refused(&bad), "{}", bad.path);
            }
            if let Some(query) = bent(&good.query, pick) {
                let bad = RawRequest { query, ..good.clone() };
                prop_assert!(is_refused(&bad), "{}", bad.query);
            }
            let mut body = good.body.to_vec();
            match pick % (body.len() + 1) {
                end if end == body.len() => body.push(b'x'),
                at => body[at] ^= 1,
            }
            let bad = RawRequest { body: body.into(), ..good.clone() };
            prop_assert!(is_refused(&bad));
            for name in ["host", "x-amz-meta", "x-amz-date", "x-amz-security-token"] {
                let Some(value) = good.headers.get(name) else { continue };
                let Some(value) = bent(value.to_str().unwrap(), pick) else { continue };
                let mut bad = good.clone();
                bad.headers.insert(name, value.parse().unwrap());
                prop_assert!(is_refused(&bad), "{name}: {value}");
            }
        }
    }

    #[test]
    fn no_authorization_panics(text in "\\PC{0,80}", tail in "[ -~]{0,80}", query in "[ -~]{0,80}") {
        let parts = ["AWS4-HMAC-SHA256", "Credential=a/20150830/b/c/aws4_request", &tail];
        for header in [text.clone(), tail.clone(), parts.join(" ")] {
            let mut request = request(Method::GET, "/", &[("host", "a")], "");
            request.query.clone_from(&query);
            if let Ok(value) = HeaderValue::from_bytes(header.as_bytes()) {
                request.headers.insert("authorization", value);
            }
            let _ = sigv4::read(&request);
            let _ = sigv4::credential_hint(&request);
        }
        let _ = sigv4::url(&text);
        let _ = sigv4::url(&format!("https://{tail}"));
        let request = request(Method::GET, &format!("/?X-Amz-Signature=0&{query}"), &[], "");
        prop_assert!(sigv4::read(&request).is_err());
    }
}
