// A TLS server of Go's crypto/tls that says which name its client sent: tls_server CERTIFICATE KEY ADDRESS:PORT.
package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
)

func serve(flow net.Conn) {
	defer flow.Close()
	secured := flow.(*tls.Conn)
	if secured.Handshake() == nil {
		fmt.Fprintf(flow, "this is %s\n", secured.ConnectionState().ServerName)
	}
}

func main() {
	pair, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	if err != nil {
		panic(err)
	}
	listener, err := tls.Listen("tcp", os.Args[3], &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		panic(err)
	}
	for {
		flow, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go serve(flow)
	}
}
