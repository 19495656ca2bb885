import Testing

@testable import Platform

@Suite struct MemoryPressureTests {
    @Test func theKernelsCountOfKillsIsRead() {
        #expect(MemoryPressure.kills(in: "nr_free_pages 12\noom_kill 3\noom_kill_other 9\n") == 3)
        #expect(MemoryPressure.kills(in: "nr_free_pages 12\n") == nil)
        #expect(MemoryPressure.kills != nil, "this kernel does not tell")
    }
}
