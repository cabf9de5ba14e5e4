// The little JSON that the runner writes.

#pragma once

#include <cmath>
#include <cstdio>
#include <string>

inline std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') {
      out += {'\\', letter};
    } else if (static_cast<unsigned char>(letter) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", letter);
      out += escape;
    } else {
      out += letter;
    }
  }
  return out + "\"";
}

inline std::string number(double value) {
  if (!std::isfinite(value)) return "null";  // JSON has no NaN
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);  // nine digits bring every float32 back exactly
  return text;
}

template <typename Items, typename Write>
std::string joined(const Items& items, Write write) {
  std::string out;
  for (const auto& item : items) out += (out.empty() ? "" : ", ") + write(item);
  return out;
}
