// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "golden-parity",
    platforms: [.macOS(.v14)],
    targets: [.executableTarget(name: "golden-parity", path: "Sources/GoldenParity")]
)
