"""A browser of the console, as far as pages need one: cookies, links, forms, and no scripts."""
import html.parser
import http.cookies
import urllib.parse

import clients


class Form:
    """A form of a page, with the values that it comes with."""

    def __init__(self, attributes):
        self.method = attributes.get("method", "get").upper()
        self.action = attributes.get("action")
        self.fields = {}
        self.buttons = []


class Page(html.parser.HTMLParser):
    """An answer, read as a page."""

    VOID = {"meta", "link", "input", "br", "img"}

    def __init__(self, path, answer):
        super().__init__()
        self.path = path
        self.status = answer.status
        self.headers = answer.headers
        self.source = answer.body.decode()
        self.words = []
        self.tags = []
        self.links = {}
        self.forms = []
        self.ids = {}
        self.handlers = []
        self._form = self._select = self._link = None
        self._open = []
        if answer.headers.get("content-type", "").startswith("text/html"):
            self.feed(self.source)
            assert not self._open, f"not closed: {self._open}"

    @property
    def text(self):
        """What is read on it."""
        return " ".join("".join(self.words).split())

    def form(self, action):
        """The one form whose action ends so; an action that is not said is the page's own address."""
        found = [form for form in self.forms if (form.action or self.path).partition("?")[0].endswith(action)]
        assert len(found) == 1, (action, [form.action for form in self.forms])
        return found[0]

    def handle_starttag(self, tag, attrs):
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        self.handlers += [name for name in attributes if name.startswith("on") or name == "style"]
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "a":
            self._link = [attributes.get("href", ""), ""]
        elif tag == "form":
            self._form = Form(attributes)
            self.forms.append(self._form)
        elif self._form and tag == "input" and "name" in attributes:
            kind = attributes.get("type", "text")
            if kind not in ("checkbox", "radio") or "checked" in attributes:
                self._form.fields[attributes["name"]] = attributes.get("value", "on" if kind == "checkbox" else "")
        elif self._form and tag == "textarea":
            self._form.fields[attributes["name"]] = ""
        elif self._form and tag == "select":
            self._select = attributes["name"]
        elif self._form and tag == "option" and self._select:
            if "selected" in attributes or self._select not in self._form.fields:
                self._form.fields[self._select] = attributes.get("value", "")
        elif self._form and tag == "button" and "name" in attributes:
            self._form.buttons.append((attributes["name"], attributes.get("value", "")))

    def handle_endtag(self, tag):
        assert self._open and self._open[-1] == tag, f"</{tag}> in {self._open}"
        self._open.pop()
        if tag == "a":
            self.links[self._link[1].strip()] = self._link[0]
            self._link = None
        elif tag == "form":
            self._form = None
        elif tag == "select":
            self._select = None

    def handle_data(self, data):
        if self._open and self._open[-1] in ("script", "style"):
            return
        self.words.append(data + " " if self._open and self._open[-1] != "code" else data)
        if self._link:
            self._link[1] += data


class Browser:
    """Someone before the console of a server."""

    def __init__(self, server, origin=None):
        self.server = server
        self.origin = origin or server.url
        self.jar = {}

    def ask(self, method, path, body=b"", headers=None):
        """One request as a browser sends it; its answer as a page."""
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.jar.items())} if self.jar else {}
        sent |= {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        if method == "POST":
            sent |= {"Origin": self.origin, "Content-Type": "application/x-www-form-urlencoded"}
        sent = {name: value for name, value in (sent | (headers or {})).items() if value is not None}
        answer = clients.send(self.server, method, path, sent, body)
        if "set-cookie" in answer.headers:
            for name, morsel in http.cookies.SimpleCookie(answer.headers["set-cookie"]).items():
                if morsel["max-age"] == "0":
                    self.jar.pop(name, None)
                else:
                    self.jar[name] = morsel.value
        return Page(path, answer)

    def get(self, path, **headers):
        """A page, wherever it leads."""
        page = self.ask("GET", path, headers=headers)
        for _ in range(5):
            if page.status != 303:
                return page
            page = self.ask("GET", page.headers["location"], headers=headers)
        raise AssertionError(f"{path} leads round and round")

    def post(self, path, fields, follow=True, **headers):
        """Sends fields, and goes where the answer leads."""
        page = self.ask("POST", path, urllib.parse.urlencode(fields).encode(), headers)
        return self.get(page.headers["location"]) if follow and page.status == 303 else page

    def submit(self, page, action, button=None, **fields):
        """Fills a form of a page and sends it; the fields have to be there."""
        form = page.form(action)
        assert set(fields) <= set(form.fields), (set(fields) - set(form.fields), form.fields)
        filled = form.fields | fields | (dict([button]) if button else {})
        target = form.action or page.path.partition("?")[0]
        if form.method == "GET":
            return self.get(f"{target}?{urllib.parse.urlencode(filled)}")
        return self.post(target, filled)

    def sign_in(self, deployment, account=clients.OWNER):
        """Signs in, and answers the page that is shown then."""
        key, secret = deployment.credentials(account)
        fields = {"key": key} if deployment.dev else {"key": key, "secret": secret}
        return self.submit(self.get("/console/sign-in"), "/console/sign-in", **fields)
