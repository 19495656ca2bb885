/// A request as the endpoints see it.
struct HTTPRequest {
    let path: String
    let arguments: [(name: String, value: String)]
    /// When it came, by `BootClock`: all parts of an answer are about one moment.
    let now: Int64

    init(path: String, arguments: [(name: String, value: String)] = [], now: Int64) {
        self.path = path
        self.arguments = arguments
        self.now = now
    }

    /// The first value of an argument.
    subscript(name: String) -> String? { arguments.first { $0.name == name }?.value }
}

struct HTTPResponse: Equatable {
    let status: UInt32
    let type: String
    let body: [UInt8]

    static func text(_ status: UInt32, _ text: String) -> HTTPResponse {
        HTTPResponse(status: status, type: "text/plain; charset=utf-8", body: Array(text.utf8))
    }

    static func json(_ status: UInt32, _ body: [UInt8]) -> HTTPResponse {
        HTTPResponse(status: status, type: "application/json", body: body)
    }
}

/// One row of the table of what can be asked.
struct HTTPEndpoint: Sendable {
    let paths: [String]
    let summary: String
    let answer: @Sendable (HTTPReport, HTTPRequest) -> HTTPResponse

    init(
        _ paths: String..., summary: String,
        answer: @escaping @Sendable (HTTPReport, HTTPRequest) -> HTTPResponse
    ) {
        self.paths = paths
        self.summary = summary
        self.answer = answer
    }
}
