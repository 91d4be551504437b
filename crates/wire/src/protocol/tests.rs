//! The protocols side by side, and one more beside them: adding it is its file and a line.
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use self::toy::Toy;
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
            status: 201,
        },
        Route {
            service: "toys",
            action: "DropToy",
            method: Method::DELETE,
            path: "/toys/{ToyArn}",
            status: 204,
        },
    ],
};

/// The real list, and the toy.
static WITH_TOY: &[&dyn Protocol] = &[
    &Toy,
    &aws_json::AwsJson,
    &json_envelope::JsonEnvelope,
    &query::Query,
];

/// What would be a protocol's file: methods, labels in paths, names in the query, a JSON body.
mod toy {
    use std::collections::BTreeMap;

    use super::super::{
        input::ReadError,
        interface::{respond, with_error_type},
        json::Tree,
        node::{Item, Looks, Members, Node},
        *,
    };
    use crate::percent;

    #[derive(Debug)]
    pub(super) struct Toy;

    /// The labels of a path that fits a route: names and decoded texts.
    fn labels(route: &Route, request: &RawRequest) -> Option<Vec<(&'static str, String)>> {
        if route.method != request.method {
            return None;
        }
        let path = request.path.trim_matches('/').split('/');
        let pattern = route.path.trim_matches('/').split('/');
        if path.clone().count() != pattern.clone().count() {
            return None;
        }
        let mut labels = Vec::new();
        for (sent, wanted) in path.zip(pattern) {
            match wanted.strip_prefix('{') {
                Some(label) => {
                    let text = String::from_utf8(percent::decode(sent).ok()?).ok()?;
                    labels.push((label.trim_end_matches('}'), text));
                }
                None if sent == wanted => {}
                None => return None,
            }
        }
        Some(labels)
    }

    fn route(
        request: &RawRequest,
        directory: &Directory,
    ) -> Option<(&'static Route, Vec<(&'static str, String)>)> {
        let mut routes = directory.routes.iter();
        routes.find_map(|route| Some((route, labels(route, request)?)))
    }

    /// Labels and query names beside the members of a body.
    struct Gathered {
        texts: BTreeMap<String, Text>,
        body: Tree,
    }

    impl Node for Gathered {
        fn text(&self) -> Result<&str, ReadError> {
            self.body.text()
        }
        fn boolean(&self) -> Result<bool, ReadError> {
            self.body.boolean()
        }
        fn whole(&self, least: i128, most: i128) -> Result<i128, ReadError> {
            self.body.whole(least, most)
        }
        fn float(&self) -> Result<f64, ReadError> {
            self.body.float()
        }
        fn members(&self) -> Result<Members<'_>, ReadError> {
            let texts = self.texts.iter();
            let texts = texts.map(|(name, text)| (name.as_str(), text as &dyn Node));
            Ok(Box::new(texts.chain(self.body.members()?)))
        }
        fn items(&self) -> Result<Vec<Item<'_>>, ReadError> {
            self.body.items()
        }
        fn looks(&self) -> Looks {
            Looks::Structure
        }
        fn is_none(&self) -> bool {
            false
        }
    }

    /// A text that may stand for a number.
    struct Text(String);

    impl Node for Text {
        fn text(&self) -> Result<&str, ReadError> {
            Ok(&self.0)
        }
        fn boolean(&self) -> Result<bool, ReadError> {
            self.0
                .parse()
                .map_err(|_| ReadError::malformed("a text", "a boolean"))
        }
        fn whole(&self, least: i128, most: i128) -> Result<i128, ReadError> {
            let number = self.0.parse().ok();
            let number = number.filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| ReadError::malformed("a text", "a whole number"))
        }
        fn float(&self) -> Result<f64, ReadError> {
            Err(ReadError::malformed("a text", "a number"))
        }
        fn members(&self) -> Result<Members<'_>, ReadError> {
            Err(ReadError::malformed("a text", "a structure"))
        }
        fn items(&self) -> Result<Vec<Item<'_>>, ReadError> {
            Err(ReadError::malformed("a text", "a list"))
        }
        fn looks(&self) -> Looks {
            Looks::Text
        }
        fn is_none(&self) -> bool {
            false
        }
    }

    impl Protocol for Toy {
        fn methods(&self) -> &'static [Method] {
            const METHODS: &[Method] = &[Method::GET, Method::POST, Method::PUT, Method::DELETE];
            METHODS
        }

        fn asks(&self, request: &RawRequest, directory: &Directory) -> bool {
            route(request, directory).is_some()
        }

        fn dialect(&self) -> Dialect {
            Dialect::Json
        }

        fn read(&self, request: &RawRequest, directory: &Directory) -> Result<Asked, InputError> {
            let (route, labels) = route(request, directory).ok_or(InputError::NoAction)?;
            let mut texts: BTreeMap<String, Text> = labels
                .into_iter()
                .map(|(name, text)| (name.to_owned(), Text(text)))
                .collect();
            let query = Parameters::parse(&request.query, "")?;
            if let Some(max) = query.get("maxResults") {
                texts.insert("MaxResults".to_owned(), Text(max.to_owned()));
            }
            let root = Tree::parse(&request.body)
                .map(|body| Box::new(Gathered { texts, body }) as Box<dyn Node>);
            Ok(Asked {
                service: Some(route.service),
                action: route.action.to_owned(),
                input: Input::new(root, Unknown::Ignore),
                status: route.status,
            })
        }

        fn success(&self, answer: &Answer<'_>) -> Response<Bytes> {
            let body = match answer.status {
                204 => String::new(),
                _ => answer.output.to_json().to_string(),
            };
            respond(answer.status, "application/json", body, answer.request_id)
        }

        fn fault(&self, fault: &Fault, _: &Service, request_id: &str) -> Response<Bytes> {
            let body = serde_json::json!({ "Code": fault.code, "Message": fault.message });
            let body = body.to_string();
            let response = respond(fault.status, "application/json", body, request_id);
            with_error_type(response, fault)
        }
    }
}

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
    }
}

fn body(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

#[test]
fn a_toy_with_put_and_labels_is_one_file_and_one_line() {
    let protocols = Protocols {
        list: WITH_TOY,
        directory: &DIRECTORY,
    };
    let put = request(
        Method::PUT,
        "/toys/arn%3Atoy%2F1/tags?maxResults=7",
        &[("content-type", "application/json")],
        r#"{"Tags": ["a"], "Stranger": 1}"#,
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
            toy_arn: "arn:toy/1".to_owned(),
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
    let response = spoken.fault(&fault(), None, "r-1");
    assert_eq!(response.headers()["x-amzn-errortype"], "NotFoundFault");
    assert_eq!(
        body(&response),
        r#"{"Code":"NotFoundFault","Message":"\"a\" <b>"}"#
    );
    let drop = request(Method::DELETE, "/toys/1", &[], "");
    let asked = protocols.of(&drop).read(&drop).unwrap();
    assert_eq!((asked.action.as_str(), asked.status), ("DropToy", 204));
    // What is no toy's is spoken as before; without the toy nobody takes the method.
    let form = request(Method::POST, "/", &[], "Action=Make&Name=n");
    assert_eq!(protocols.of(&form).read(&form).unwrap().action, "Make");
    let spoken = Protocols::new(&DIRECTORY).of(&drop);
    assert!(!spoken.methods().contains(&Method::DELETE));
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
