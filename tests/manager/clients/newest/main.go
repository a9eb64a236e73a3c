// Calls a manager with the messages and clients that Dragonfly publishes, as a line of JSON on standard input asks:
//
//	{"service": "v2", "method": "ListSchedulers", "request": {...}}   -> {"reply": {...}} or {"code": "NotFound", "message": "..."}
//	{"service": "v1", "open": "a"}                                    -> a KeepAlive stream called a
//	{"send": "a", "request": {...}}, {"close": "a"}, {"cancel": "a"}  -> its messages, its end, its sudden end
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	managerv1 "d7y.io/api/v2/pkg/apis/manager/v1"
	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
)

type line struct {
	Service, Method, Open, Send, Close, Cancel, Health string
	Request                                            json.RawMessage
}

// A KeepAlive stream of either version, through its generated client.
type stream struct {
	send   func(json.RawMessage) error
	close  func() error
	cancel context.CancelFunc
}

var services = map[string]string{
	"v1": string(managerv1.File_pkg_apis_manager_v1_manager_proto.Services().ByName("Manager").FullName()),
	"v2": string(managerv2.File_pkg_apis_manager_v2_manager_proto.Services().ByName("Manager").FullName()),
}

func main() {
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(1<<30)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	streams := map[string]stream{}
	reader := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		text, err := reader.ReadBytes('\n')
		if err == io.EOF {
			return
		}
		var said line
		if err := json.Unmarshal(text, &said); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(answer(do(connection, streams, said)))
	}
}

func do(connection *grpc.ClientConn, streams map[string]stream, said line) (proto.Message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	switch {
	case said.Open != "":
		opened, err := open(connection, said.Service)
		streams[said.Open] = opened
		return nil, err
	case said.Send != "":
		return nil, streams[said.Send].send(said.Request)
	case said.Close != "":
		return nil, streams[said.Close].close()
	case said.Cancel != "":
		streams[said.Cancel].cancel()
		return nil, nil
	case said.Health != "":
		request := &grpc_health_v1.HealthCheckRequest{Service: said.Health}
		return grpc_health_v1.NewHealthClient(connection).Check(ctx, request)
	}
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(
		protoreflect.FullName(services[said.Service] + "." + said.Method))
	if err != nil {
		return nil, err
	}
	method := descriptor.(protoreflect.MethodDescriptor)
	request, reply := message(method.Input()), message(method.Output())
	if err := protojson.Unmarshal(said.Request, request); err != nil {
		return nil, err
	}
	return reply, connection.Invoke(ctx, "/"+services[said.Service]+"/"+said.Method, request, reply)
}

// message makes a message of the generated type, not a dynamic one.
func message(descriptor protoreflect.MessageDescriptor) proto.Message {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName())
	if err != nil {
		panic(err)
	}
	return kind.New().Interface()
}

func open(connection *grpc.ClientConn, service string) (stream, error) {
	ctx, cancel := context.WithCancel(context.Background())
	if service == "v1" {
		opened, err := managerv1.NewManagerClient(connection).KeepAlive(ctx)
		return stream{func(text json.RawMessage) error {
			request := &managerv1.KeepAliveRequest{}
			if err := protojson.Unmarshal(text, request); err != nil {
				return err
			}
			return opened.Send(request)
		}, func() error { _, err := opened.CloseAndRecv(); return err }, cancel}, err
	}
	opened, err := managerv2.NewManagerClient(connection).KeepAlive(ctx)
	return stream{func(text json.RawMessage) error {
		request := &managerv2.KeepAliveRequest{}
		if err := protojson.Unmarshal(text, request); err != nil {
			return err
		}
		return opened.Send(request)
	}, func() error { _, err := opened.CloseAndRecv(); return err }, cancel}, err
}

func answer(reply proto.Message, err error) string {
	told := map[string]any{}
	if err != nil {
		told["code"], told["message"] = status.Code(err).String(), status.Convert(err).Message()
	} else if reply != nil {
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(reply)
		if err != nil {
			panic(err)
		}
		told["reply"] = json.RawMessage(text)
	}
	text, _ := json.Marshal(told)
	return string(text)
}
