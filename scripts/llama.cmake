# CMake reads this where the project "llama.cpp" begins, when scripts/install compiles it.
#
# llama-cpp-python sets LLAMA_BUILD_COMMON in the cache by force, which no option of the command line
# survives; a plain variable does. What it leaves out is half of the work of the compiler: the code
# that llama.cpp's own programs share (chat formats, options, downloads) and the HTTP library with
# it. The package calls libllama alone.
set(LLAMA_BUILD_COMMON OFF)
