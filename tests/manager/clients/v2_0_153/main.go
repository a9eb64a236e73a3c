// Calls CreateModel with the messages that Dragonfly published until it was removed. The last release whose second form
// had it can not be fetched any more; its messages had these very numbers, so it is sent under that method's name.
//
//	client HOST:PORT manager.Manager|manager.v2.Manager gnn|mlp HOSTNAME IP DATA
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	manager "d7y.io/api/v2/pkg/apis/manager/v1"
)

func main() {
	address, service, kind := os.Args[1], os.Args[2], os.Args[3]
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	request := &manager.CreateModelRequest{Hostname: os.Args[4], Ip: os.Args[5]}
	data := []byte(os.Args[6])
	switch kind {
	case "gnn":
		gnn := &manager.CreateGNNRequest{Data: data, Recall: 0.5, Precision: 0.25, F1Score: 0.75}
		request.Request = &manager.CreateModelRequest_CreateGnnRequest{CreateGnnRequest: gnn}
	case "mlp":
		mlp := &manager.CreateMLPRequest{Data: data, Mse: 2.5, Mae: 1.5}
		request.Request = &manager.CreateModelRequest_CreateMlpRequest{CreateMlpRequest: mlp}
	}
	if service == "manager.Manager" {
		_, err = manager.NewManagerClient(connection).CreateModel(ctx, request)
	} else {
		err = connection.Invoke(ctx, "/"+service+"/CreateModel", request, &emptypb.Empty{})
	}
	fmt.Println(status.Code(err).String(), status.Convert(err).Message())
}
