import Testing

@testable import Peers

@Suite struct FrameTests {
    private func frames(_ bytes: [UInt8], inPiecesOf size: Int, limit: Int = 1024) throws -> [Frame] {
        var decoder = FrameDecoder(limit: limit)
        var frames: [Frame] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            bytes[start..<min(start + size, bytes.count)].withUnsafeBytes { decoder.append($0) }
            while let frame = try decoder.next() { frames.append(frame) }
        }
        return frames
    }

    @Test(arguments: [1, 2, 5, 7, 64, 10_000])
    func `frames come out whole however the stream is cut`(size: Int) throws {
        let sent = [
            Frame(version: 0, kind: .hello, payload: [1, 2, 3]),
            Frame(version: 1, kind: .message, payload: []),
            Frame(version: 1, kind: .message, payload: [UInt8](repeating: 7, count: 900)),
            Frame(version: 2, kind: .refusal, payload: [9]),
        ]
        #expect(try frames(sent.flatMap(\.encoded), inPiecesOf: size) == sent)
    }

    @Test func `a length beyond the limit is refused before its bytes are there`() {
        #expect(throws: FrameError.length(1025, atMost: 1024)) {
            try frames([0, 0, 4, 1], inPiecesOf: 4)
        }
        #expect(throws: FrameError.length(0xFFFF_FFFF, atMost: 1024)) {
            try frames([255, 255, 255, 255], inPiecesOf: 4)
        }
    }

    @Test func `a length without room for version and kind is refused`() {
        #expect(throws: FrameError.length(1, atMost: 1024)) { try frames([0, 0, 0, 1, 1], inPiecesOf: 5) }
    }

    @Test func `an unknown kind is refused`() {
        #expect(throws: FrameError.kind(9)) { try frames([0, 0, 0, 2, 1, 9], inPiecesOf: 6) }
    }

    @Test func `the limit holds from the next frame on`() throws {
        var decoder = FrameDecoder(limit: 8)
        let big = Frame(version: 1, kind: .message, payload: [UInt8](repeating: 0, count: 100)).encoded
        decoder.limit = 200
        big.withUnsafeBytes { decoder.append($0) }
        #expect(try decoder.next()?.payload.count == 100)
        #expect(decoder.bufferedBytes == 0)
    }

    @Test func `random bytes never make a decoder hold more than its limit and one read`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            var decoder = FrameDecoder(limit: 512)
            do {
                for _ in 0..<20 {
                    let chunk = (0..<64).map { _ in UInt8.random(in: 0...3, using: &random) }
                    chunk.withUnsafeBytes { decoder.append($0) }
                    while try decoder.next() != nil {}
                    #expect(decoder.bufferedBytes <= 512 + 4 + 64)
                }
            } catch {
                continue
            }
        }
    }
}
