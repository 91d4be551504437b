//! The protocols side by side.
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::*;

static DIRECTORY: Directory = Directory {
    services: &[
        Service {
            name: "rds",
            namespace: "http://rds/",
            target: None,
        },
        Service {
            name: "kms",
            namespace: "http://kms/",
            target: Some("Trent."),
        },
    ],
    unnamed: "Copy",
    routes: &[
        Route {
            service: "toys",
            action: "TagToy",
            method: Method::PUT,
            path: "/toys/{ToyArn}/tags/",
            query: &[("maxResults", "MaxResults")],
            status: 201,
        },
        Route {
            service: "toys",
            action: "DropToy",
            method: Method::DELETE,
            path: "/toys/{ToyArn}",
            query: &[],
            status: 204,
        },
    ],
};

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagToy {
    toy_arn: String,
    max_results: Option<u16>,
    tags: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    name: &'static str,
    #[serde(rename = "Zone")]
    zone: Option<&'static str>,
}

fn request(method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> RawRequest {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |(name, value): &(&str, &str)| {
        let name: HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    };
    RawRequest {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.iter().map(header).collect::<HeaderMap>(),
        body: body.to_owned().into(),
    }
}

fn answer<'a>(output: &'a dyn Encode, status: u16) -> Answer<'a> {
    Answer {
        action: "Make",
        service: &DIRECTORY.services[0],
        status,
        output,
        layout: Layout::Plain,
        label: Label::None,
        request_id: "r-1",
    }
}

fn fault() -> Fault {
    Fault {
        code: "NotFoundFault",
        status: 404,
        message: "\"a\" <b>".to_owned(),
        kind: "NOT_FOUND",
        details: vec![("Context", "c".to_owned())],
    }
}

fn body(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

#[test]
fn routes_have_methods_labels_and_names_of_the_query() {
    let protocols = Protocols::new(&DIRECTORY);
    let put = request(
        Method::PUT,
        "/toys/arn%3Atoy%2F1+/tags?maxResults=7",
        &[("content-type", "application/json")],
        r#"{"Tags": ["a"], "Stranger": 1, "ToyArn": "arn:other"}"#,
    );
    let spoken = protocols.of(&put);
    assert!(spoken.methods().contains(&Method::PUT));
    assert_eq!(spoken.dialect(), Dialect::Json);
    let asked = spoken.read(&put).unwrap();
    assert_eq!(
        (asked.service, asked.action.as_str(), asked.status),
        (Some("toys"), "TagToy", 201)
    );
    assert_eq!(
        asked.input.read::<TagToy>().unwrap(),
        TagToy {
            toy_arn: "arn:toy/1+".to_owned(),
            max_results: Some(7),
            tags: vec!["a".to_owned()],
        }
    );
    let made = Made {
        name: "n",
        zone: None,
    };
    let response = spoken.success(&answer(&made, asked.status));
    assert_eq!(
        (response.status().as_u16(), body(&response)),
        (201, r#"{"Name":"n","Zone":null}"#)
    );
    assert_eq!(body(&spoken.success(&answer(&(), 200))), "");
    let response = spoken.fault(&fault(), None, "r-1");
    assert_eq!(response.headers()["x-amzn-errortype"], "NotFoundFault");
    assert_eq!(
        body(&response),
        r#"{"Code":"NotFoundFault","Context":"c","Message":"\"a\" <b>","Type":"Client"}"#
    );
    let drop = request(Method::DELETE, "/toys/1/", &[], "");
    let asked = protocols.of(&drop).read(&drop).unwrap();
    assert_eq!((asked.action.as_str(), asked.status), ("DropToy", 204));
    assert_eq!(body(&protocols.of(&drop).success(&answer(&made, 204))), "");
}

#[test]
fn what_no_route_has_is_refused_in_the_words_of_its_service() {
    let protocols = Protocols::new(&DIRECTORY);
    let wrong = request(Method::POST, "/toys/1", &[], "");
    let error = protocols.of(&wrong).read(&wrong).unwrap_err();
    assert_eq!(
        error.message(),
        "No operation has the method POST and the path /toys/1."
    );
    let scope =
        "AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/toys/aws4_request, SignedHeaders=host";
    for (path, signed_for, of_routes) in [
        ("/else", "toys", true),
        ("/else", "rds", false),
        ("/", "toys", false),
        ("/toys", "rds", false),
        ("/toys/1", "rds", true),
        ("/toys/1/2/3", "rds", false),
        ("/toys//", "rds", false),
    ] {
        let scope = scope.replace("toys", signed_for);
        let asked = request(Method::GET, path, &[("authorization", &scope)], "");
        let spoken = format!("{:?}", protocols.of(&asked).asked);
        assert_eq!(spoken == "RestJson", of_routes, "{path} {signed_for}");
    }
    let bad = request(Method::GET, "/toys/%zz", &[], "");
    assert!(format!("{:?}", protocols.of(&bad).asked) != "RestJson");
}

#[test]
fn heads_tell_the_protocols_of_question_and_answer() {
    let protocols = Protocols::new(&DIRECTORY);
    let of = |headers: &[(&str, &str)]| {
        let spoken = protocols.of(&request(Method::POST, "/", headers, ""));
        format!("{:?} {:?}", spoken.asked, spoken.answered)
    };
    let json = ("content-type", "application/json; charset=utf-8");
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (headers, spoken) in [
        (&[][..], "Query Query"),
        (&[json], "JsonEnvelope JsonEnvelope"),
        (&[json, ("accept", "*/*")], "JsonEnvelope JsonEnvelope"),
        (&[json, ("accept", "text/xml")], "JsonEnvelope Query"),
        (
            &[form, ("accept", "text/html, Application/JSON;q=1")],
            "Query JsonEnvelope",
        ),
        (&[form, ("accept", "*/*")], "Query Query"),
        (
            &[("content-type", "application/x-amz-json-1.0")],
            "AwsJson AwsJson",
        ),
        (&[json, ("x-amz-target", "")], "AwsJson AwsJson"),
    ] {
        assert_eq!(of(headers), spoken, "{headers:?}");
    }
}

#[test]
fn targets_name_a_service_and_an_operation() {
    let read = |target: &str| {
        let request = request(Method::POST, "/", &[("x-amz-target", target)], "nonsense");
        Protocols::new(&DIRECTORY).of(&request).read(&request)
    };
    let asked = read("Trent.Sign").unwrap();
    assert_eq!(
        (asked.service, asked.action.as_str()),
        (Some("kms"), "Sign")
    );
    // The action is known before its parameters are told to be nonsense.
    let error = asked.input.read::<TagToy>().unwrap_err();
    assert!(matches!(error, InputError::NotJson { .. }));
    let bare = read("Other.Sign").unwrap();
    assert_eq!((bare.service, bare.action.as_str()), (None, "Other.Sign"));
    assert_eq!(read("Trent.").unwrap_err(), InputError::NoTarget);
}

#[test]
fn the_json_door_has_three_places_for_a_name() {
    let read = |target: &str, body: &str| {
        let headers = [("content-type", "application/json")];
        let request = request(Method::POST, target, &headers, body);
        let asked = Protocols::new(&DIRECTORY).of(&request).read(&request);
        asked.map(|asked| asked.action)
    };
    for (target, body, name) in [
        ("/", "", "Copy"),
        ("/", r#"{"Action": null}"#, "Copy"),
        ("/", r#"{"Action": "A", "x": 1}"#, "A"),
        ("/A/", "{}", "A"),
        ("/?Action=A", "{}", "A"),
        ("/A?Action=A", r#"{"Action": "A"}"#, "A"),
    ] {
        assert_eq!(read(target, body).as_deref(), Ok(name), "{target} {body}");
    }
    let two = read("/B?Action=A", "").unwrap_err();
    assert_eq!(two.message(), "The request names two actions: A and B.");
    assert_eq!(
        read("/", r#"{"Action": 1}"#).unwrap_err().message(),
        "Invalid value: expected a string for Action, not a number."
    );
    assert_eq!(
        read("/", "[]").unwrap_err().message(),
        "Invalid value: expected an object for the request, not a list."
    );
    assert!(matches!(
        read("/A", "{").unwrap_err(),
        InputError::NotJson { .. }
    ));
}

#[test]
fn answers_and_faults_have_three_renderings() {
    let made = Made {
        name: "n",
        zone: None,
    };
    let headers: [&[(&str, &str)]; 3] = [
        &[],
        &[("content-type", "application/json")],
        &[("content-type", "application/x-amz-json-1.1")],
    ];
    let renderings: Vec<_> = headers
        .into_iter()
        .map(|headers| {
            let spoken = Protocols::new(&DIRECTORY).of(&request(Method::POST, "/", headers, ""));
            let fault = spoken.fault(&fault(), DIRECTORY.services.get(1), "r-1");
            assert_eq!(fault.headers()["x-amzn-requestid"], "r-1");
            let success = spoken.success(&answer(&made, 200));
            let empty = spoken.success(&answer(&(), 200));
            [success, empty, fault].map(|response| body(&response).to_owned())
        })
        .collect();
    assert_eq!(
        renderings,
        [
            [
                "<MakeResponse xmlns=\"http://rds/\"><MakeResult><Name>n</Name></MakeResult>\
                 <ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></MakeResponse>",
                "<MakeResponse xmlns=\"http://rds/\"><ResponseMetadata><RequestId>r-1</RequestId>\
                 </ResponseMetadata></MakeResponse>",
                "<ErrorResponse xmlns=\"http://kms/\"><Error><Type>Sender</Type>\
                 <Code>NotFoundFault</Code><Message>&quot;a&quot; &lt;b&gt;</Message></Error>\
                 <RequestId>r-1</RequestId></ErrorResponse>",
            ],
            [
                r#"{"data":{"Name":"n","Zone":null},"request_id":"r-1","success":true}"#,
                r#"{"data":{},"request_id":"r-1","success":true}"#,
                "{\"error\":{\"code\":\"NOT_FOUND\",\"fault\":\"NotFoundFault\",\
                 \"message\":\"\\\"a\\\" <b>\",\"request_id\":\"r-1\"},\"success\":false}",
            ],
            [
                r#"{"Name":"n","Zone":null}"#,
                "{}",
                r#"{"__type":"NotFoundFault","message":"\"a\" <b>"}"#,
            ],
        ]
    );
}
