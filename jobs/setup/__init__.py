"""What is built once: the quickstart, compiled kernels, the class archive of the JVM."""
